"""Outputs as bytes in Redis, which other servers read, and which anyone may have written."""

from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.caching.key import Question, bytes_of
from mlbuffet.tensors import Tensors, TensorSpec


class StoredArray(msgspec.Struct, array_like=True):
    """One output."""

    name: str
    dtype: str
    shape: list[int]
    elements: bytes | list[bytes]


class StoredAnswer(msgspec.Struct, array_like=True):
    """The outputs for one key, which it holds, so that it is not valid under another."""

    key: bytes
    until: float
    outputs: list[StoredArray]


_DECODER = msgspec.msgpack.Decoder(StoredAnswer)


def encode_answer(question: Question, outputs: Tensors, until: float) -> bytes:
    """``outputs`` and the time until which they are valid, as MessagePack; numbers are little-endian."""
    stored = [_stored(name, array) for name, array in outputs.items()]
    return msgspec.msgpack.encode(StoredAnswer(question.key, until, stored))


def decode_answer(data: bytes, question: Question, now: float) -> tuple[dict[str, NDArray[Any]], float] | None:
    """The outputs that answer ``question``, and until when; ``None`` for any other content."""
    try:
        stored = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    until = min(stored.until, now + question.seconds)  # clocks differ
    if stored.key != question.key or not now < until or [one.name for one in stored.outputs] != list(question.outputs):
        return None
    try:
        return {one.name: _array(one, question.outputs[one.name]) for one in stored.outputs}, until
    except (ValueError, OverflowError):
        return None


def _stored(name: str, array: NDArray[Any]) -> StoredArray:
    if array.dtype.kind == "O":
        return StoredArray(name, "bytes", list(array.shape), list(array.flat))
    plain = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return StoredArray(name, array.dtype.name, list(array.shape), bytes(bytes_of(plain)))


def _array(stored: StoredArray, spec: TensorSpec) -> NDArray[Any]:
    """The array, if its dtype, shape and elements are as ``spec`` declares. Raises ``ValueError``."""
    shape, elements, is_text = stored.shape, stored.elements, spec.dtype.kind == "O"
    is_declared = stored.dtype == ("bytes" if is_text else spec.dtype.name) and spec.accepts_shape(shape)
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
