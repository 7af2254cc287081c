"""Models on disk and in memory: their names, versions and states."""

from mlbuffet.repository.layout import StoredVersion, find_versions
from mlbuffet.repository.repository import ModelRepository
from mlbuffet.repository.version import ModelVersion, State

__all__ = ["ModelRepository", "ModelVersion", "State", "StoredVersion", "find_versions"]
