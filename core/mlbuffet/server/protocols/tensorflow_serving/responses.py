"""Predict responses, in rows or in columns: named arrays to JSON."""

from base64 import b64encode
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.conversion import has_json_form
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import encode_array
from mlbuffet.tensors import Tensors

BYTES_SUFFIX = "_bytes"
"""The end of the names of outputs whose strings are bytes, not text."""


def encode_rows(outputs: Tensors) -> bytes:
    """``{"predictions": [...]}``: an element for each row, a bare value where the model has one output.

    Raises `InvalidInput` where the outputs have no rows in common.
    """
    count = _row_count(outputs)
    match list(outputs.items()):
        case [(name, array)]:
            predictions: Any = encode_values(array, name)
        case several:
            predictions = [
                {name: encode_values(array[row, ...], name) for name, array in several} for row in range(count)
            ]
    return orjson.dumps({"predictions": predictions})


def encode_columns(outputs: Tensors) -> bytes:
    """``{"outputs": ...}``: the whole arrays by name, without a name where the model has one output."""
    values = {name: encode_values(array, name) for name, array in outputs.items()}
    return orjson.dumps({"outputs": values if len(values) != 1 else next(iter(values.values()))})


def encode_values(array: NDArray[Any], name: str) -> orjson.Fragment:
    """``array``, the output ``name``, as nested lists; bytes are base64 where the name ends in `BYTES_SUFFIX`."""
    if not has_json_form(array.dtype):
        raise InvalidInput(f"output {name!r} is {array.dtype.name}, for which the protocol has no form")
    if array.dtype.kind == "O" and name.endswith(BYTES_SUFFIX):
        elements = np.empty(array.size, object)
        elements[:] = [{"b64": b64encode(element).decode()} for element in array.ravel()]
        return orjson.Fragment(orjson.dumps(elements.reshape(array.shape).tolist()))
    try:
        return orjson.Fragment(encode_array(array))
    except UnicodeDecodeError:
        raise InvalidInput(
            f"output {name!r} holds bytes that are not UTF-8; they travel as base64 only where the output's name ends "
            f"in {BYTES_SUFFIX!r}: name it so, or ask under /v2 for its binary form"
        ) from None


def _row_count(outputs: Tensors) -> int:
    counts = {name: len(array) for name, array in outputs.items() if array.ndim}
    if scalar := next((name for name in outputs if name not in counts), None):
        raise InvalidInput(f"output {scalar!r} is a scalar and has no rows; ask in columns, with 'inputs'")
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "there are none"
        raise InvalidInput(f"the outputs differ in their number of rows ({shown}); ask in columns, with 'inputs'")
    return next(iter(counts.values()))
