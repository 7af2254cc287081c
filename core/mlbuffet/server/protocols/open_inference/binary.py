"""Tensors as raw buffers: little-endian, row-major, unpadded.

A bool is one byte; an element of BYTES is its length as uint32, then its bytes; what has fewer than eight bits is a
byte of its own, integers with their sign as in INT8. From the extension "binary tensor data"
of the protocol: https://github.com/kserve/open-inference-protocol/blob/main/extensions/binary_tensor_data.md
"""

import sys
from math import prod
from struct import Struct
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import ML_INTEGERS
from mlbuffet.errors import InvalidInput
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES

_LENGTH = Struct("<I")
_SMALL = 4 * 1024
"""Bytes up to which a copy is quicker than a view."""
_CODES: dict[np.dtype[Any], tuple[type, int, int]] = {
    **{dtype: (np.int8 if low else np.uint8, low, high) for dtype, (low, high) in ML_INTEGERS.items()},
    np.dtype(ml_dtypes.float4_e2m1fn): (np.uint8, 0, 15),
    np.dtype(ml_dtypes.float6_e2m3fn): (np.uint8, 0, 63),
    np.dtype(ml_dtypes.float6_e3m2fn): (np.uint8, 0, 63),
}
"""For dtypes of fewer than eight bits: the type as which a byte is read, its least and its largest value."""
PLAIN = frozenset(
    dtype for dtype in DATATYPES if dtype.kind not in "Ob" and dtype not in _CODES and sys.byteorder == "little"
)
"""Dtypes whose raw form is their memory, whatever that holds."""


def array_from_buffer(buffer: memoryview, dtype: np.dtype[Any], shape: list[int], name: str) -> NDArray[Any]:
    """The tensor in ``buffer``, without a copy where there are no elements to unpack. Raises `InvalidInput`."""
    count = prod(shape)  # in Python's integers, which do not overflow
    if dtype.kind == "O":
        return _unpacked(buffer, count, name).reshape(shape)
    size = count * dtype.itemsize
    if len(buffer) != size:
        raise InvalidInput(f"input {name!r} has {len(buffer)} bytes; {DATATYPES[dtype]} of shape {shape} takes {size}")
    if dtype.kind == "b" and max(buffer, default=0) > 1:
        raise InvalidInput(f"input {name!r} holds a byte that is neither 0 nor 1; a BOOL is one or the other")
    if dtype in _CODES:
        return _of_codes(np.frombuffer(buffer, _CODES[dtype][0]), dtype, name).reshape(shape)
    return np.frombuffer(buffer, dtype.newbyteorder("<")).view(dtype).reshape(shape)


def buffer_from_array(array: NDArray[Any]) -> bytes | memoryview:
    """The raw form of ``array``, without a copy where its memory has that form."""
    if array.nbytes < _SMALL and array.dtype in PLAIN:
        return array.tobytes()
    if array.dtype.kind == "O":
        return b"".join(_LENGTH.pack(len(element)) + element for element in array.ravel())
    if array.dtype in ML_INTEGERS:
        array = array.astype(_CODES[array.dtype][0])
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return plain.reshape(-1).view(np.uint8).data


def _of_codes(codes: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    _, low, high = _CODES[dtype]
    if codes.size and not low <= codes.min() <= codes.max() <= high:
        raise InvalidInput(f"input {name!r} holds a byte that is no {DATATYPES[dtype]}; those are {low} to {high}")
    return codes.astype(dtype) if dtype in ML_INTEGERS else codes.view(dtype)


def _unpacked(buffer: memoryview, count: int, name: str) -> NDArray[Any]:
    if count * _LENGTH.size > len(buffer):  # else the array might not fit into memory
        raise InvalidInput(f"input {name!r} has {len(buffer)} bytes, too few for {count} elements of BYTES")
    elements = np.empty(count, object)
    position = 0
    for index in range(count):
        start = position + _LENGTH.size
        if start > len(buffer):
            raise InvalidInput(f"input {name!r} ends before the length of element {index}")
        position = start + _LENGTH.unpack_from(buffer, position)[0]
        if position > len(buffer):
            raise InvalidInput(f"input {name!r} ends within element {index}")
        elements[index] = bytes(buffer[start:position])
    if position != len(buffer):
        raise InvalidInput(f"input {name!r} has {len(buffer) - position} bytes after its last element")
    return elements
