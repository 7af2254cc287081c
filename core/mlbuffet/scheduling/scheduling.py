"""What the schedulers of a process share."""

from concurrent.futures import ThreadPoolExecutor

from mlbuffet.model import Model
from mlbuffet.scheduling.limits import Limits
from mlbuffet.scheduling.loop_time import LoopTime
from mlbuffet.scheduling.runner import Singly
from mlbuffet.scheduling.scheduler import Scheduler

_THREADS = 10_000  # each model has a limit of its own; a thread is started only where all others are busy


class Scheduling:
    """Threads, and the time of the event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "mlbuffet-predict")
        self._loop_time = LoopTime()

    def scheduler(self, model: Model, limits: Limits) -> Scheduler:
        """A scheduler for the calls of ``model``."""
        return Scheduler(Singly(model), limits, self._threads, self._loop_time)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)
