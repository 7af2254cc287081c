"""The inference service: from the name of a model to its outputs, for every protocol."""

from mlbuffet.inference.request import InferenceRequest, InferenceResult, ModelSelector
from mlbuffet.inference.service import InferenceService, ModelDescription, ServedModel, VersionStatus
from mlbuffet.repository import ReportedState, State
from mlbuffet.scheduling import Deadline

__all__ = [
    "Deadline",
    "InferenceRequest",
    "InferenceResult",
    "InferenceService",
    "ModelDescription",
    "ModelSelector",
    "ReportedState",
    "ServedModel",
    "State",
    "VersionStatus",
]
