"""Files of inputs, and outputs as JSON."""

import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import orjson

from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import decode, encode_array
from mlbuffet.tensors import Tensors

_FORM = 'write arrays by name, such as {"x": [[1, 2]]}'


def read_inputs(content: bytes) -> dict[str, Any]:
    """Inputs by name, from JSON (``{"x": [[1, 2]]}``) or from ``numpy.savez``. Raises `InvalidInput`."""
    if content.startswith(b"PK"):
        try:
            with np.load(BytesIO(content), allow_pickle=False) as arrays:
                return dict(arrays)
        except ValueError:
            text = "write text as an array of dtype 'S' or 'U', not of objects"
            raise InvalidInput(f"the inputs are not an .npz of plain arrays; {text}") from None
        except (OSError, EOFError, zipfile.BadZipFile):
            raise InvalidInput("the inputs are not a whole .npz; write them again with numpy.savez") from None
    if content.startswith(b"\x93NUMPY"):
        raise InvalidInput("an .npy file holds an array without a name; write it with numpy.savez(file, name=array)")
    if not content.strip():
        raise InvalidInput(f"the inputs are empty; {_FORM}")
    inputs = decode(content, Any)
    if not isinstance(inputs, dict):
        raise InvalidInput(f"the inputs are no JSON object; {_FORM}")
    return inputs


def outputs_as_json(outputs: Tensors) -> str:
    """``{"y": [[...]]}``, arrays as nested lists. Raises `InvalidInput` for what JSON cannot hold."""
    texts = {}
    for name, array in outputs.items():
        try:
            texts[name] = orjson.Fragment(encode_array(array))
        except UnicodeDecodeError:
            raise InvalidInput(f"output {name!r} holds bytes that are not UTF-8, which JSON cannot hold") from None
    return orjson.dumps(texts).decode()
