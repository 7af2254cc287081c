"""How calls reach a model: on the event loop, in threads, in batches; how many run, and how many may wait."""

from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.call import Call, Deadline, Execution, Prediction
from mlbuffet.scheduling.factory import Scheduling
from mlbuffet.scheduling.limit_settings import Limits
from mlbuffet.scheduling.scheduler import Scheduler

__all__ = ["Batching", "Call", "Deadline", "Execution", "Limits", "Prediction", "Scheduler", "Scheduling"]
