"""The request of a prediction, and its result, as values."""

from collections.abc import Mapping

import msgspec
import numpy as np

from mlbuffet.errors import InvalidInput
from mlbuffet.scheduling import Call
from mlbuffet.tensors import Tensors


class ModelSelector(msgspec.Struct, frozen=True, gc=False):
    """A model, and one of its versions: by number or by label, else the default."""

    model: str
    version: int | None = None
    """0 to 2**63 - 1."""
    label: str | None = None
    """As ``model.toml`` gives it."""
    or_default: bool = False
    """Whether the default takes the place of a version that is not there (under /v1, version 0 means that)."""


class InferenceRequest(Call, frozen=True, kw_only=True, gc=False):
    """A call of a model, with which model it is for."""

    model: ModelSelector
    id: str = ""
    """For the log; where it is empty, the id that the context has (`mlbuffet.running_calls.REQUEST_IDS`)."""


def check_request(request: InferenceRequest) -> None:
    """Raises `InvalidInput` where a program has made a request that no codec would make."""
    inputs = request.inputs
    if not isinstance(inputs, Mapping) or not all(isinstance(array, np.ndarray) for array in inputs.values()):
        raise InvalidInput("the inputs of a request are numpy arrays by name")
    if not isinstance(request.signature, str | None):
        raise InvalidInput(f"the signature of a request is {request.signature!r}; it is a name, or None")


class InferenceResult(msgspec.Struct, frozen=True, gc=False):
    """The result of one call; times are in nanoseconds, 0 for a stage that the call did not go through."""

    model: str
    version: int
    """The version that was called."""
    outputs: Tensors
    queue_ns: int = 0
    """From the call to the start of its run."""
    compute_ns: int = 0
    """The run, of the whole batch where calls were batched."""
    cache_ns: int = 0
    """The look-up in the cache."""
