"""Outputs as responses have them, in whatever encoding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import is_small
from mlbuffet.errors import InvalidInput
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES
from mlbuffet.server.protocols.open_inference.requests import InferCall
from mlbuffet.tensors import Signatures, Tensors

Labels = Mapping[str, Sequence[str]]
"""The names of classes by output."""
NO_LABELS: Labels = {}


def no_datatype(name: str, array: NDArray[Any]) -> str:
    """Why an output cannot be sent."""
    return f"output {name!r} is of dtype {array.dtype}, for which the protocol has no datatype"


def omitted(outputs: Tensors) -> str:
    """Which outputs are left out of a response, and why. Raises `InvalidInput` where none would be left."""
    problems = [no_datatype(name, array) for name, array in outputs.items() if array.dtype not in DATATYPES]
    text = "; ".join(problems)
    if len(problems) == len(outputs):
        raise InvalidInput(text)
    return text


def labels_of_classes(call: InferCall, signatures: Signatures) -> Labels:
    """The labels of those outputs of which ``call`` wants classes."""
    wanted = [name for name, form in (call.outputs or {}).items() if form.classes]
    if not wanted:
        return NO_LABELS
    specs = signatures[signatures.resolve(call.signature)].outputs
    return {name: specs[name].labels for name in wanted if name in specs}


def best_classes(array: NDArray[Any], count: int, name: str, labels: Sequence[str] = ()) -> NDArray[Any]:
    """The ``count`` largest values as text ``value:index``, the largest first; floats have six decimals.

    Where ``labels`` has a name for the class, it follows: ``value:index:label``.
    Their shape is [count], or [batch, count] where ``array`` has a rank of 2 or more. This is the extension
    "classification" of Triton's protocol.
    """
    if array.dtype.kind in "Oc" or array.ndim == 0:
        raise InvalidInput(f"output {name!r} is {array.dtype} of shape {array.shape}, which is no scores of classes")
    scores = array.reshape(len(array), -1) if array.ndim > 1 and array.size else np.atleast_2d(array)
    if is_small(scores.dtype):
        scores = scores.astype(np.float32)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]
    pattern = "{:.6f}:{}" if scores.dtype.kind == "f" else "{:d}:{}"
    texts = np.empty(best.shape, object)
    for row, index in np.ndindex(best.shape):
        position = int(best[row, index])
        label = f":{labels[position]}" if position < len(labels) else ""
        texts[row, index] = (pattern.format(scores[row, position], position) + label).encode()
    return texts if array.ndim > 1 else texts[0]
