"""The rows of several calls as one batch, and back."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import Signature, Tensors


def row_count(inputs: Tensors) -> int:
    """The size of the first axis that all ``inputs`` share; 0 where they share none."""
    counts = {array.shape[:1] for array in inputs.values()}
    return sum(counts.pop()) if len(counts) == 1 else 0


def joined(inputs: Sequence[Tensors], size: int) -> dict[str, NDArray[Any]]:
    """The rows of all, then the last row as often as it takes to make ``size``."""
    missing = size - sum(map(row_count, inputs))
    return {
        name: np.concatenate([*(one[name] for one in inputs), np.repeat(inputs[-1][name][-1:], missing, axis=0)])
        for name in inputs[0]
    }


def divided(outputs: Tensors, counts: Iterable[int]) -> list[dict[str, NDArray[Any]]]:
    """For each count so many rows, copied, so that an output that is kept does not keep the memory of the batch."""
    spans = pairwise(accumulate(counts, initial=0))
    return [{name: array[begin:end].copy() for name, array in outputs.items()} for begin, end in spans]


def has_rows(tensors: Tensors, count: int) -> bool:
    """Whether each has so many rows."""
    return all(array.shape[:1] == (count,) for array in tensors.values())


def takes(signature: Signature, inputs: Mapping[str, Any]) -> bool:
    """Whether ``inputs`` are arrays that fit ``signature``; what they hold is not looked at."""
    return inputs.keys() == signature.inputs.keys() and all(
        type(inputs[name]) is np.ndarray and inputs[name].dtype == spec.dtype and spec.accepts_shape(inputs[name].shape)
        for name, spec in signature.inputs.items()
    )
