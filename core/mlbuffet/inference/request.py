"""What a model is asked, and what it answers, as values."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mlbuffet.inference.deadline import Deadline
from mlbuffet.scheduling import Call
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


class InferenceRequest(Call, frozen=True, kw_only=True, gc=False):
    """One call of a model: the inputs, the signature and the outputs that are wanted, of which model, until when."""

    model: ModelSelector
    parameters: Mapping[str, Any] = {}
    """What a client sent beside the inputs."""
    id: str = ""
    """For the log; where it is empty, the id that the context has (`mlbuffet.running.REQUEST_IDS`)."""
    deadline: Deadline | None = None
    """Until when the answer is of use; ``None``: as long as the model needs."""


class InferenceResult(msgspec.Struct, frozen=True, gc=False):
    """The answer to one call; times are in nanoseconds, 0 for a stage that the call did not go through."""

    model: str
    version: int
    """The version that has answered."""
    outputs: Tensors
    queue_ns: int = 0
    """From the call to the begin of its run."""
    compute_ns: int = 0
    """The run, of the whole batch where calls were batched."""
    cache_ns: int = 0
    """The look-up among kept answers."""
