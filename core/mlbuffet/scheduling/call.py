"""One call of a model and its answer, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mlbuffet.tensors import Tensors


@dataclass(frozen=True, slots=True)
class Call:
    """What `mlbuffet.Model.predict` is asked: inputs by name, a signature, the outputs wanted."""

    inputs: Tensors
    signature: str | None = None
    outputs: Sequence[str] | None = None
    any_shape: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a model, perhaps for several calls at once; times are in nanoseconds."""

    begun: int
    """When, by `time.perf_counter_ns`."""
    infer: int
    """How long the model took."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outputs that a call wants, and the run that gave them; ``None`` where none was needed."""

    outputs: dict[str, NDArray[Any]]
    execution: Execution | None = None
    lookup: int | None = None
    """How many nanoseconds it took to look for the answer in the cache, where there is one."""
