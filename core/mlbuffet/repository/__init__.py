"""Models on disk and in memory: their names, versions and states."""

from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.layout import StoredModel, StoredVersion, find_models, find_versions, merged
from mlbuffet.repository.repository import ModelRepository, Residency
from mlbuffet.repository.version import Handle, ModelVersion, State

__all__ = [
    "Configuration",
    "Handle",
    "ModelRepository",
    "ModelVersion",
    "Residency",
    "State",
    "StoredModel",
    "StoredVersion",
    "find_models",
    "find_versions",
    "merged",
]
