"""The text of nested JSON lists as an array, a piece at a time.

A long list as Python objects takes ten times the memory of its text, and the interpreter's lock for seconds; a piece
takes neither, and whoever waits for the lock gets it between two of them.
"""

from collections.abc import Iterator
from contextlib import suppress
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import MAX_RANK, array_from_leaves, array_from_numbers, array_from_python, dtype_name
from mlbuffet.errors import InvalidInput
from mlbuffet.json_text import decode

PIECE = 256 * 1024  # bytes, which are decoded in a few ms
_FLOATS = msgspec.json.Decoder(list[float])
_BUT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))


def array_from_text(text: bytes, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """What `mlbuffet.conversion.array_from_python` makes of the value of ``text``, which is valid JSON.

    Raises `InvalidInput` that names the input, the position and the value.
    """
    if len(text) <= PIECE or dtype.kind == "O" or not text.startswith(b"["):
        return array_from_python(decode(text, Any), dtype, name)
    _refuse_texts(text, dtype, name)
    shape = _shape(text, name)
    array = np.empty(prod(shape), dtype)
    position = 0
    for piece in _pieces(text, len(shape), name) if array.size else ():
        part = _array_of_piece(b"[%b]" % piece, dtype, name, shape, position)
        array[position : position + len(part)] = part
        position += len(part)
    return array.reshape(shape)


def _array_of_piece(piece: bytes, dtype: np.dtype[Any], name: str, shape: tuple[int, ...], first: int) -> NDArray[Any]:
    if dtype.char in "fd":
        with suppress(msgspec.MsgspecError):  # tokens, and what is no number, which is found below
            return array_from_numbers(_FLOATS.decode(piece), dtype, name, shape, first)
    return array_from_leaves(decode(piece, list), dtype, name, shape, first)


def count_elements(text: bytes) -> int:
    """How many elements there are in ``text``, without making them: all numbers, or where it has texts, those.

    A list without elements counts as one.
    """
    if b'"' not in text:
        return _count_commas(text) + 1
    quotes = text.count(b'"')
    if b"\\" in text:
        quotes -= text.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def _refuse_texts(text: bytes, dtype: np.dtype[Any], name: str) -> None:
    """Nothing among numbers has quotes or braces; after this, brackets and commas are structure for certain."""
    found = [position for mark in b'"{' if (position := text.find(mark)) >= 0]
    if found:
        before, shown = text.count(b",", 0, min(found)), text[min(found) : min(found) + 40].decode(errors="replace")
        raise InvalidInput(f"input {name!r} holds {shown!r}... as element {before}; {dtype_name(dtype)} takes no text")


def _shape(text: bytes, name: str) -> tuple[int, ...]:
    """The shape of lists of numbers: that of the first list at each level, if repeating those gives all there is."""
    if text.find(b"[", 1) < 0:
        return (0 if _is_empty(text) else _count_commas(text) + 1,)
    marks = text.translate(None, _BUT_STRUCTURE)
    depth = len(marks) - len(marks.lstrip(b"["))
    if depth > MAX_RANK:
        raise InvalidInput(f"input {name!r} is nested deeper than {MAX_RANK} lists")
    sizes: list[int] = []
    unit = b""
    for level in range(depth):
        begin, end = depth - level, marks.find(b"]" * (level + 1)) + level  # between the brackets of the first list
        sizes.insert(0, (end - begin + 1) // (len(unit) + 1))
        unit = b"[" + (unit + b",") * (sizes[0] - 1) + unit + b"]"
    if marks != unit:
        raise _ragged(name)
    if _is_empty(text):
        sizes[-1] = 0
    return tuple(sizes)


def _count_commas(text: bytes) -> int:
    """Where there are many, numpy counts them in half the time."""
    if len(text) < PIECE:
        return text.count(b",")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(",")))


def _is_empty(text: bytes) -> bool:
    """Whether lists have no elements, which their brackets alone do not show."""
    return not text.strip(b"[], \t\r\n")


def _pieces(text: bytes, rank: int, name: str) -> Iterator[bytes]:
    """The elements of lists, with commas between them."""
    elements = text[1:-1] if rank == 1 else text.translate(None, b"[] \t\r\n")
    if (rank > 1 and b",," in elements) or b"," in (
        elements[:1],
        elements[-1:],
    ):  # a list without elements among others
        raise _ragged(name)
    begin = 0
    while begin < len(elements):
        end = elements.find(b",", begin + PIECE)
        end = len(elements) if end < 0 else end
        yield elements[begin:end]
        begin = end + 1


def _ragged(name: str) -> InvalidInput:
    return InvalidInput(f"input {name!r} is ragged: its lists differ in length or depth")
