"""The datatypes of the protocol as dtypes."""

from typing import Any

import ml_dtypes
import numpy as np
from msgspec import Meta

from mlbuffet.conversion import SMALL_DTYPES, kind_of

_INTEGERS = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{name: np.dtype(name.lower()) for name in _INTEGERS},
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
DTYPES |= {dtype.name.upper(): dtype for dtype in SMALL_DTYPES if dtype not in DTYPES.values()}
"""Those of the protocol, and others such as INT4 and FLOAT8_E5M2 by numpy's names."""
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}
DATATYPE_SCHEMA = Meta(extra_json_schema={"enum": list(DTYPES)})
BINARY_ONLY = frozenset(
    name for name, dtype in DTYPES.items() if dtype.itemsize < np.dtype(np.float32).itemsize and kind_of(dtype) == "f"
)
"""FP16 and BF16, for which the specification has no form in JSON, and smaller floats."""


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The datatype of ``dtype``, even where that cannot be sent: then it is numpy's name, such as COMPLEX64."""
    return DATATYPES.get(dtype, dtype.name.upper())
