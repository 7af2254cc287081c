"""What a model is asked, and what it answers, as values."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mlbuffet.inference.deadline import Deadline
from mlbuffet.tensors import Tensors


class ModelSelector(msgspec.Struct, frozen=True, gc=False):
    """A model, and which of its versions answers: the one of a number or of a label, else the default."""

    model: str
    version: int | None = None
    """0 to 2**63 - 1."""
    label: str | None = None
    """As ``model.toml`` gives it."""
    or_default: bool = False
    """Whether the default answers where there is no such version (under /v1, version 0 means that)."""


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model; what `mlbuffet.Model.predict` takes, and of which model."""

    model: ModelSelector
    inputs: Tensors
    """By name, in the dtypes and the shapes of the signature (`InvalidInput` otherwise)."""
    signature: str | None = None
    """``None``: the default."""
    outputs: Sequence[str] | None = None
    """The outputs that are wanted, in order; ``None``: all."""
    any_shape: bool = False
    """Whether shapes go to the runtime unchecked, where that checks them itself."""
    parameters: Mapping[str, Any] = {}
    """What a client sent beside the inputs."""
    id: str = ""
    """For the log; where it is empty, the id that the context has (`mlbuffet.running.REQUEST_IDS`)."""
    deadline: Deadline | None = None
    """Until when the answer is of use; ``None``: as long as the model needs."""


class Timings(msgspec.Struct, frozen=True, gc=False):
    """How long the stages of a call took, in nanoseconds; 0 for a stage that it did not go through."""

    queue: int = 0
    compute: int = 0
    """Of the whole batch, where calls were batched."""
    cache: int = 0
    """The look-up among kept answers."""


class InferenceResult(msgspec.Struct, frozen=True):
    """The answer to one call."""

    model: str
    version: int
    """The version that has answered."""
    outputs: Tensors
    timings: Timings
