"""TensorFlow's names of dtypes."""

from typing import Any

import numpy as np

_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.float16): "DT_HALF",
    np.dtype(np.float32): "DT_FLOAT",
    np.dtype(np.float64): "DT_DOUBLE",
    np.dtype(object): "DT_STRING",
}
_SAME_NAMES = ("bool", "complex64", "complex128", "bfloat16", "float8_e5m2", "float8_e4m3fn", "int4", "uint4")


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The name in metadata, such as DT_FLOAT; DT_INVALID for a dtype that TensorFlow lacks."""
    if dtype.kind in "iu" or dtype.name in _SAME_NAMES:
        return f"DT_{dtype.name.upper()}"
    return _NAMES.get(dtype, "DT_INVALID")


def type_name(dtype: np.dtype[Any]) -> str:
    """The name in messages, such as float."""
    name = datatype_of(dtype)
    return dtype.name if name == "DT_INVALID" else name.removeprefix("DT_").lower()
