"""The fields in which messages have the elements of tensors one by one."""

from typing import Any

import numpy as np

from mlbuffet.conversion import kind_of
from mlbuffet.grpc.messages.open_inference import InferTensorContents
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES

_OF_64_BITS = 8


def _contents_field(dtype: np.dtype[Any]) -> str | None:
    """The field of `InferTensorContents` for the elements of ``dtype``; ``None`` for one that is raw only."""
    match dtype.kind, kind_of(dtype):
        case "O", _:
            return "bytes_contents"
        case "b", _:
            return "bool_contents"
        case _, "f":
            return {"FP32": "fp32_contents", "FP64": "fp64_contents"}.get(DATATYPES[dtype])
    sign = "uint" if dtype.kind == "u" or dtype.name.startswith("uint") else "int"
    return f"{sign}64_contents" if dtype.itemsize == _OF_64_BITS else f"{sign}_contents"


FIELDS = {dtype: name for dtype in DATATYPES if (name := _contents_field(dtype)) is not None}
"""By dtype; those that are raw only have none."""
PACKED = {
    name: InferTensorContents.DESCRIPTOR.fields_by_name[name].number
    for name in ("bool_contents", "fp32_contents", "fp64_contents")
}
"""Fields whose elements are in a message as they are in memory, which is faster than one by one."""
