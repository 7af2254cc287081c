"""One call of a model and its result, as data."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from numpy.typing import NDArray

from mlbuffet.tensors import Tensors


class Deadline(msgspec.Struct, frozen=True, gc=False):
    """Until when a call may take, and how long that was when it began."""

    at: float
    """In seconds, by `time.monotonic`."""
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline of a call that begins now."""
        return cls(time.monotonic() + seconds, seconds)


class Call(msgspec.Struct, frozen=True, gc=False):
    """The arguments of `mlbuffet.Model.predict`."""

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
    deadline: Deadline | None = None
    """``None``: as long as the model needs."""


class Execution(msgspec.Struct, gc=False):
    """One run of a model, perhaps for several calls at once; times are in nanoseconds."""

    rows: int
    """Of all calls together; 1 where the model is not batched."""
    begun: int
    """When, by `time.perf_counter_ns`."""
    join: int
    """How long it took to make one batch of the inputs."""
    infer: int
    """How long the model took."""
    divide: int
    """How long it took to give each call its outputs."""
    _counted: bool = False

    def count_once(self) -> bool:
        """Whether it is to be counted: true for the first of its calls alone."""
        first, self._counted = not self._counted, True
        return first


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """The outputs that a call wants, and the run that gave them; ``None`` where none was needed."""

    outputs: dict[str, NDArray[Any]]
    execution: Execution | None = None
    rows: int = 1
    """Of this call; 1 where the model is not batched."""
    lookup: int | None = None
    """How many nanoseconds the look-up in the cache took, where there is one."""
