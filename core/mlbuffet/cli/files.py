"""Inputs that a person has in a file, and outputs as that person reads them."""

import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import orjson

from mlbuffet.errors import InvalidInput
from mlbuffet.json_text import decode, encode_array
from mlbuffet.tensors import Tensors


def read_inputs(content: bytes) -> dict[str, Any]:
    """Inputs by name, from JSON (``{"x": [[1, 2]]}``) or from ``numpy.savez``. Raises `InvalidInput`."""
    if content.startswith(b"PK"):
        return _read_npz(content)
    return decode(content, dict[str, Any])


def outputs_as_json(outputs: Tensors) -> str:
    """``{"y": [[...]]}``, arrays as nested lists. Raises `InvalidInput` for what JSON cannot hold."""
    texts = {}
    for name, array in outputs.items():
        try:
            texts[name] = orjson.Fragment(encode_array(array))
        except UnicodeDecodeError:
            raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8, which JSON cannot hold") from None
    return orjson.dumps(texts).decode()


def _read_npz(content: bytes) -> dict[str, Any]:
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"the inputs are not a whole .npz of plain arrays: {error}") from None
