"""Outputs as bytes in Redis, which other servers read, and which anyone may have written."""

from math import prod
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.caching.key import Question, bytes_of
from mlbuffet.tensors import Tensors, TensorSpec

_Stored: TypeAlias = tuple[str, str, list[int], bytes | list[bytes]]
"""One output: its name, dtype, shape and elements."""
_DECODER = msgspec.msgpack.Decoder(tuple[bytes, float, list[_Stored]])


def encode_answer(question: Question, outputs: Tensors, until: float) -> bytes:
    """``outputs`` and the time until which they are valid, as MessagePack; numbers are little-endian.

    It begins with the key, so that it is not valid under another.
    """
    return msgspec.msgpack.encode((question.key, until, [_stored(name, array) for name, array in outputs.items()]))


def decode_answer(data: bytes, question: Question, now: float) -> tuple[dict[str, NDArray[Any]], float] | None:
    """The outputs that answer ``question``, and until when; ``None`` for any other content."""
    try:
        key, valid_until, stored = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    until = min(valid_until, now + question.seconds)  # clocks differ
    if key != question.key or not now < until or [name for name, *_ in stored] != list(question.outputs):
        return None
    try:
        return {one[0]: _array(one, question.outputs[one[0]]) for one in stored}, until
    except (ValueError, OverflowError):
        return None


def _stored(name: str, array: NDArray[Any]) -> _Stored:
    if array.dtype.kind == "O":
        return name, "bytes", list(array.shape), list(array.flat)
    plain = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return name, array.dtype.name, list(array.shape), bytes(bytes_of(plain))


def _array(stored: _Stored, spec: TensorSpec) -> NDArray[Any]:
    """The array, if its dtype, shape and elements are as ``spec`` declares. Raises ``ValueError``."""
    _, dtype, shape, elements = stored
    is_text = spec.dtype.kind == "O"
    is_declared = dtype == ("bytes" if is_text else spec.dtype.name) and spec.accepts_shape(shape)
    size = prod(shape) * (1 if is_text else spec.dtype.itemsize)
    is_whole = isinstance(elements, list) is is_text and len(elements) == size and min(shape, default=0) >= 0
    if not (is_declared and is_whole):
        raise ValueError("another tensor")
    if spec.dtype.kind == "b" and max(elements, default=0) not in (0, 1):
        raise ValueError("a byte that is no bool")
    if isinstance(elements, bytes):
        return np.frombuffer(elements, spec.dtype.newbyteorder("<")).astype(spec.dtype).reshape(shape)
    texts = np.empty(len(elements), object)
    texts[:] = elements
    return texts.reshape(shape)
