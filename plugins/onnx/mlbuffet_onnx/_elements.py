"""The element types of ONNX tensors: their names, their dtypes, and their bits in memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ElementType:
    """One ``TensorProto.DataType``; ``moved`` if onnxruntime has no numpy type for it, so that its bits are moved."""

    number: int
    dtype: np.dtype[Any]
    moved: bool
    bits: int

    @property
    def is_text(self) -> bool:
        return self.dtype.kind == "O"

    def pack(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        """The bytes of ``array`` as a tensor has them in memory: small elements share a byte, the first lowest."""
        elements = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if self.bits >= 8:
            return elements
        in_byte = 8 // self.bits
        padded = np.zeros(-(-elements.size // in_byte) * in_byte, np.uint8)
        padded[: elements.size] = elements & ((1 << self.bits) - 1)
        shifted = padded.reshape(-1, in_byte) << self._shifts()
        packed: NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=1)
        return packed

    def unpack(self, content: bytes, shape: Iterable[int]) -> NDArray[Any]:
        """A fresh array of ``shape`` from the bytes of a tensor."""
        dimensions = tuple(shape)
        elements = np.frombuffer(bytearray(content), np.uint8)
        if self.bits < 8:
            mask = (1 << self.bits) - 1
            elements = ((elements[:, None] >> self._shifts()) & np.uint8(mask)).reshape(-1)
            elements = elements[: math.prod(dimensions)]
        return elements.view(self.dtype).reshape(dimensions)

    def _shifts(self) -> NDArray[np.uint8]:
        return np.arange(0, 8, self.bits, dtype=np.uint8)


def _native(number: int, dtype: Any) -> ElementType:
    exact = np.dtype(dtype)
    return ElementType(number, exact, moved=False, bits=8 * exact.itemsize)


def _moved(number: int, dtype: Any, bits: int) -> ElementType:
    return ElementType(number, np.dtype(dtype), moved=True, bits=bits)


ELEMENT_TYPES = {
    "float": _native(1, np.float32),
    "uint8": _native(2, np.uint8),
    "int8": _native(3, np.int8),
    "uint16": _native(4, np.uint16),
    "int16": _native(5, np.int16),
    "int32": _native(6, np.int32),
    "int64": _native(7, np.int64),
    "string": _native(8, np.object_),
    "bool": _native(9, np.bool_),
    "float16": _native(10, np.float16),
    "double": _native(11, np.float64),
    "uint32": _native(12, np.uint32),
    "uint64": _native(13, np.uint64),
    "bfloat16": _moved(16, ml_dtypes.bfloat16, 16),
    "float8e4m3fn": _moved(17, ml_dtypes.float8_e4m3fn, 8),
    "float8e4m3fnuz": _moved(18, ml_dtypes.float8_e4m3fnuz, 8),
    "float8e5m2": _moved(19, ml_dtypes.float8_e5m2, 8),
    "float8e5m2fnuz": _moved(20, ml_dtypes.float8_e5m2fnuz, 8),
    "uint4": _moved(21, ml_dtypes.uint4, 4),
    "int4": _moved(22, ml_dtypes.int4, 4),
    "float4e2m1": _moved(23, ml_dtypes.float4_e2m1fn, 4),
    "float8e8m0": _moved(24, ml_dtypes.float8_e8m0fnu, 8),
    "uint2": _moved(25, ml_dtypes.uint2, 2),
    "int2": _moved(26, ml_dtypes.int2, 2),
}
"""By the name that onnxruntime gives them. It has no complex tensors, so neither has this."""
