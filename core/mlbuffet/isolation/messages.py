"""Messages with tensors, as they lie in shared memory: a frame, a head, a tail, and the bytes of the tensors.

The head says what the message is and where its tensors lie; heads of equal calls are equal, and made and read once.
The tail is what differs from call to call.
"""

from collections.abc import Mapping, Sequence
from math import nan, prod
from mmap import mmap
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import Tensors

SMALL = 16 * 2**10
"""Tensors of so many bytes in all are copied out of shared memory, which takes less time than to say who uses it."""

_FRAME = Struct("<IIId")  # the sizes of head and tail, the distance from the frame to the tensors; the deadline
_ALIGNMENT = 64
_NOTHING = bytes(_ALIGNMENT)
_MOST_KNOWN = 256

Head: TypeAlias = tuple[Any, ...]
"""What a message is: its kind, and what belongs to it; texts, numbers, and tuples of them."""

_encode = msgspec.msgpack.Encoder().encode


class Packed(NamedTuple):
    """A message that is to be written."""

    head: bytes
    places: Sequence[int]
    """Of its tensors, from the first on."""
    size: int
    """Of all tensors."""
    parts: Sequence[Any]
    """Arrays, and texts as bytes."""


class Received(NamedTuple):
    """A message that was read."""

    head: Head
    tail: bytes
    deadline: float | None
    tensors: dict[str, NDArray[Any]]
    memory: "Memory | None"
    """The memory that the tensors lie in, where they were not copied out of it."""


class Memory(np.ndarray[Any, Any]):
    """Bytes that arrays are made of: a type of its own, so that they keep this object and not what it is made of."""


class _Form(NamedTuple):
    head: Head
    tensors: Sequence[tuple[str, np.dtype[Any] | None, tuple[int, ...], int, int]]
    size: int


class Packer:
    """Makes messages, and knows the heads of the last ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[bytes, Sequence[int], int]] = {}

    def pack(self, head: Head, tensors: Tensors) -> Packed:
        """Raises ``TypeError`` for what is no array, and for arrays of objects that are not bytes."""
        parts: list[NDArray[Any] | bytes] = []
        key: list[Any] = [head]
        for name, array in tensors.items():
            dtype = array.dtype
            if dtype.kind == "O":
                text = _packed_text(array)
                parts.append(text)
                key.append((name, "O", array.shape, len(text)))
            elif dtype.hasobject or dtype.kind == "T":
                raise TypeError(f"an array of {dtype} is no tensor")
            else:
                parts.append(array)
                key.append((name, dtype, array.shape))
        found = self._known.get(known := tuple(key))
        if found is None:
            found = _described(head, tensors, parts)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[known] = found
        return Packed(*found, parts)


def pack_plain(head: Sequence[Any]) -> Packed:
    """A message without tensors, whose head is hardly equal to that of another; also with what is no `Head`."""
    return Packed(_encode([list(head), [], 0]), (), 0, ())


def whole(message: Packed, tail: bytes = b"", deadline: float = nan) -> bytes:
    """A message with a few bytes of tensors, as it is written."""
    head = message.head
    end = _FRAME.size + len(head) + len(tail)
    start = -(-end // _ALIGNMENT) * _ALIGNMENT
    pieces = [_FRAME.pack(len(head), len(tail), start, deadline), head, tail, _NOTHING[: start - end]]
    end = 0
    for begin, part in zip(message.places, message.parts, strict=True):
        content = part if type(part) is bytes else part.tobytes()
        pieces += _NOTHING[: begin - end], content
        end = begin + len(content)
    return b"".join(pieces)


def size_of(message: Packed, tail: bytes) -> int:
    """How many bytes it takes."""
    return _start_of_tensors(len(message.head), len(tail)) + message.size


def write(memory: mmap, place: int, message: Packed, tail: bytes = b"", deadline: float = nan) -> None:
    """Put a message there."""
    head = message.head
    start = _start_of_tensors(len(head), len(tail))
    _FRAME.pack_into(memory, place, len(head), len(tail), start, deadline)
    after = place + _FRAME.size
    memory[after : after + len(head)] = head
    if tail:
        memory[after + len(head) : after + len(head) + len(tail)] = tail
    for begin, part in zip(message.places, message.parts, strict=True):
        begin += place + start
        if type(part) is bytes:
            memory[begin : begin + len(part)] = part
        elif part.nbytes <= SMALL:
            memory[begin : begin + part.nbytes] = part.tobytes()
        else:
            target = np.ndarray(part.shape, part.dtype, memory, begin)
            np.copyto(target, part)


class Unpacker:
    """Reads messages, and knows the heads of the last ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Form] = {}

    def read(self, memory: mmap, place: int) -> Received:
        """The message there. Raises ``ValueError`` where it is none."""
        head, tail, start, deadline = _FRAME.unpack_from(memory, place)
        after = place + _FRAME.size
        form = self._form(memory[after : after + head])
        text = memory[after + head : after + head + tail] if tail else b""
        begin = place + start
        until = None if deadline != deadline else deadline
        if form.size <= SMALL:
            content = bytearray(memory[begin : begin + form.size])
            return Received(form.head, text, until, _copied(form, content), None)
        shared = np.frombuffer(memory, np.uint8, form.size, begin).view(Memory)
        return Received(form.head, text, until, _in_place(form, shared), shared)

    def _form(self, head: bytes) -> _Form:
        found = self._known.get(head)
        if found is None:
            about, tensors, size = msgspec.msgpack.decode(head)
            described = [(name, dtype_of(code), tuple(shape), *place) for name, code, shape, *place in tensors]
            found = _Form(_tuples(about), described, size)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            if found.head[0] != "error":
                self._known[head] = found
        return found


def dtype_code(dtype: np.dtype[Any]) -> str:
    """A name for ``dtype``, with its byte order."""
    return dtype.name if dtype.type.__module__ == ml_dtypes.__name__ else dtype.str


def dtype_of(code: str) -> "np.dtype[Any] | None":
    """The dtype of that name; ``None`` for bytes. Raises ``TypeError``."""
    if code == "|O":
        return None
    return np.dtype(getattr(ml_dtypes, code, None) or code)


def _described(head: Head, tensors: Tensors, parts: Sequence["NDArray[Any] | bytes"]) -> tuple[bytes, list[int], int]:
    places: list[int] = []
    described = []
    end = 0
    for (name, array), part in zip(tensors.items(), parts, strict=True):
        size = len(part) if type(part) is bytes else part.nbytes  # type: ignore[union-attr]
        places.append(_aligned(end))
        end = places[-1] + size
        described.append([name, dtype_code(array.dtype), array.shape, places[-1], size])
    return _encode([head, described, end]), places, end


def _copied(form: _Form, content: bytearray) -> dict[str, NDArray[Any]]:
    return {
        name: _text(shape, memoryview(content)[begin : begin + size])
        if dtype is None
        else np.ndarray(shape, dtype, content, begin)
        for name, dtype, shape, begin, size in form.tensors
    }


def _in_place(form: _Form, shared: Memory) -> dict[str, NDArray[Any]]:
    return {
        name: _text(shape, shared[begin : begin + size].data)
        if dtype is None
        else shared[begin : begin + size].view(np.ndarray).view(dtype).reshape(shape)
        for name, dtype, shape, begin, size in form.tensors
    }


def _packed_text(array: NDArray[Any]) -> bytes:
    """The lengths of all elements, then the elements."""
    elements = array.ravel().tolist()
    for one in elements:
        if type(one) is not bytes:
            raise TypeError(f"an array holds {type(one).__name__}, not bytes")
    lengths = np.fromiter(map(len, elements), np.uint64, len(elements))
    return b"".join([lengths.tobytes(), *elements])


def _text(shape: tuple[int, ...], content: memoryview) -> NDArray[Any]:
    count = prod(shape)
    ends = (8 * count + np.cumsum(np.frombuffer(content, np.uint64, count))).astype(int).tolist()
    array = np.empty(count, object)
    begin = 8 * count
    for index, end in enumerate(ends):
        array[index] = bytes(content[begin:end])
        begin = end
    return array.reshape(shape)


def _start_of_tensors(head: int, tail: int) -> int:
    return _aligned(_FRAME.size + head + tail)


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


def _tuples(value: Any) -> Any:
    """``value`` with tuples for lists, as it was before it was sent."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def plain(values: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """``values`` as a tail."""
    return _encode(values)
