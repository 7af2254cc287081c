"""Models on disk and in memory: their names, versions and states."""

from mlbuffet.repository.catalog import Catalog
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.eviction import Residency
from mlbuffet.repository.layout import StoredModel, StoredVersion, find_models
from mlbuffet.repository.named_place import NamedPlace, split_name
from mlbuffet.repository.publishing import Publisher
from mlbuffet.repository.reading import Files
from mlbuffet.repository.received_upload import Provenance, Upload
from mlbuffet.repository.remote import RemoteFolder, default_cache, source_of
from mlbuffet.repository.repository import ModelRepository
from mlbuffet.repository.served_places import ServedPlaces
from mlbuffet.repository.settings import RepositoryOptions, RepositorySettings
from mlbuffet.repository.sources import Sources
from mlbuffet.repository.version_lifecycle import Handle, ModelVersion, ReportedState, State
from mlbuffet.repository.watcher import Watcher

__all__ = [
    "Catalog",
    "Configuration",
    "Files",
    "Handle",
    "ModelRepository",
    "ModelVersion",
    "NamedPlace",
    "Provenance",
    "Publisher",
    "RemoteFolder",
    "ReportedState",
    "RepositoryOptions",
    "RepositorySettings",
    "Residency",
    "ServedPlaces",
    "Sources",
    "State",
    "StoredModel",
    "StoredVersion",
    "Upload",
    "Watcher",
    "default_cache",
    "find_models",
    "source_of",
    "split_name",
]
