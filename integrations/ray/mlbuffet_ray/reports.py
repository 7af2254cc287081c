"""What a process says of its models, as values that travel between nodes."""

import pickle
from collections.abc import Mapping
from typing import NamedTuple

from mlbuffet.errors import MLBuffetError
from mlbuffet.inference import ModelDescription, VersionStatus
from mlbuffet.telemetry.version_statistics import VersionCounts


class VersionReport(NamedTuple):
    """One version in one process."""

    status: VersionStatus
    description: ModelDescription | None
    """``None`` where it is not ready."""
    is_unready: bool
    """Whether it keeps a server from being ready, where that is wanted (`InferenceService.unready`)."""


class ModelReport(NamedTuple):
    """One model in one process."""

    versions: Mapping[int, VersionReport]
    default: int
    """The version for requests that name none."""
    labels: Mapping[str, int]
    """Of the versions that are served."""


class Order(NamedTuple):
    """That every process loads a model, or unloads it."""

    number: int
    model: str
    is_load: bool


class Fulfilment(NamedTuple):
    """What became of an order in one process."""

    number: int
    is_load: bool
    error: MLBuffetError | None


class Report(NamedTuple):
    """One process."""

    process: str
    """The id of its replica."""
    is_front: bool
    """Whether it is to have every model that has no deployment of its own."""
    attempted: bool
    """Whether the loading of every model was attempted."""
    models: Mapping[str, ModelReport]
    fulfilments: Mapping[str, Fulfilment]
    """By model, the last order."""
    counts: Mapping[tuple[str, int], VersionCounts]


def portable(error: MLBuffetError) -> MLBuffetError:
    """``error`` as it can be sent to another process: with its text, and without facts that cannot be."""
    try:
        pickle.dumps(error)
    except Exception:  # noqa: BLE001  whatever a plugin put into it
        bare = type(error).__new__(type(error), *error.args)
        MLBuffetError.__init__(bare, *error.args, public=error.public)
        return bare
    return error
