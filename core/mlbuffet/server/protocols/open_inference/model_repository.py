"""The extension "model repository": what its requests may say, and how its index shows a version."""

from collections.abc import Iterable

from mlbuffet.errors import InvalidInput
from mlbuffet.inference import State, VersionStatus
from mlbuffet.server.protocols.open_inference import answers

CHANGE_PARAMETER = "unload_dependents"
"""The only parameter of requests to load or unload a model; no model here has others that depend on it."""


def check_change_parameters(names: Iterable[str]) -> None:
    """Raise `InvalidInput` where a request to load or unload a model has another parameter."""
    if unknown := set(names) - {CHANGE_PARAMETER}:
        raise InvalidInput(f"the parameter {min(unknown)!r} is not supported: a model is loaded as it is on disk")


def index_entry(version: VersionStatus) -> answers.IndexEntry:
    """A version in the index."""
    entry = answers.IndexEntry(name=version.model, version=str(version.version), state=version.state.reported)
    return {**entry, "reason": version.reason} if version.reason or version.state is not State.READY else entry
