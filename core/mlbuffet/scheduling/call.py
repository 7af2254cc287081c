"""One call of a model, as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlbuffet.tensors import Tensors


@dataclass(frozen=True, slots=True)
class Call:
    """What `mlbuffet.Model.predict` is asked: inputs by name, a signature, the outputs wanted."""

    inputs: Tensors
    signature: str | None = None
    outputs: Sequence[str] | None = None
    any_shape: bool = False
