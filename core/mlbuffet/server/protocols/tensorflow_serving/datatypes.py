"""TensorFlow's names of dtypes."""

from typing import Any

import ml_dtypes
import numpy as np

_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.bool_): "DT_BOOL",
    np.dtype(np.float16): "DT_HALF",
    np.dtype(np.float32): "DT_FLOAT",
    np.dtype(np.float64): "DT_DOUBLE",
    np.dtype(np.complex64): "DT_COMPLEX64",
    np.dtype(np.complex128): "DT_COMPLEX128",
    np.dtype(object): "DT_STRING",
    np.dtype(ml_dtypes.bfloat16): "DT_BFLOAT16",
    np.dtype(ml_dtypes.float8_e5m2): "DT_FLOAT8_E5M2",
    np.dtype(ml_dtypes.float8_e4m3fn): "DT_FLOAT8_E4M3FN",
    np.dtype(ml_dtypes.int4): "DT_INT4",
    np.dtype(ml_dtypes.uint4): "DT_UINT4",
}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The name in metadata, such as DT_FLOAT; DT_INVALID for a dtype that TensorFlow lacks."""
    if dtype.kind in "iu":
        return f"DT_{dtype.name.upper()}"
    return _NAMES.get(dtype, "DT_INVALID")


def type_name(dtype: np.dtype[Any]) -> str:
    """The name in messages, such as float."""
    name = datatype_of(dtype)
    return dtype.name if name == "DT_INVALID" else name.removeprefix("DT_").lower()
