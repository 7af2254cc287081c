"""The text of nested JSON lists as an array, a piece at a time.

A long list as Python objects takes ten times the memory of its text, and the interpreter's lock for seconds; pieces
take neither, and other threads get the lock between them.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import MAX_RANK, array_from_leaves, array_from_numbers, array_from_python, dtype_name
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.numbers import number_reader
from mlbuffet.json_tensors.span import Span
from mlbuffet.json_tensors.text import decode, decode_outline

LONG = 8 * 1024  # bytes, from which on it pays to look at the text first
MANAGEABLE = 256 * 1024  # bytes, up to which Python objects are made for a better error message
PIECE = 64 * 1024  # bytes, which are read in a millisecond or two
_PLACE = re.compile(r"`\$\[([0-9]+)\]`")  # as msgspec names the element of a list
_FLOATS = msgspec.json.Decoder(list[float])
_SPACE = b" \t\r\n"
_BUT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))


def array_from_text(text: bytes | Span, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """The result of `mlbuffet.conversion.array_from_python` for the value of ``text``.

    Raises `InvalidInput` that names the input, the position and the value, and for text that is no JSON.
    """
    if len(text) > LONG and dtype.kind != "O" and text.startswith(b"["):
        try:
            return _array_of_pieces(Span.over(text), dtype, name)
        except InvalidInput:
            if len(text) > MANAGEABLE:
                raise
    return array_from_python(decode(bytes(text), Any), dtype, name)


def _array_of_pieces(span: Span, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    _refuse_texts(span, dtype, name)
    shape = _shape(span, name)
    array = np.empty(prod(shape), dtype)
    if not array.size:
        decode_outline(bytes(span), msgspec.Raw)
        return array.reshape(shape)
    read = number_reader(dtype)
    position = 0
    for piece in _pieces(span, shape):
        part = read(piece)
        if part is None:
            part = _array_of_piece(piece, dtype, name, shape, position)
        array[position : position + len(part)] = part
        position += len(part)
    if position < array.size:  # a comma with nothing beside it, at which a list was cut
        raise _ragged(name)
    return array.reshape(shape)


def _array_of_piece(text: bytes, dtype: np.dtype[Any], name: str, shape: tuple[int, ...], first: int) -> NDArray[Any]:
    """The elements from position ``first`` on that `number_reader` does not read: tokens, bools, and invalid ones."""
    if len(shape) > 1:
        decode_outline(text, msgspec.Raw)  # checks the brackets
        text = b"[%b]" % text.translate(None, b"[]")
    if dtype.char in "fd":
        with suppress(msgspec.MsgspecError):
            return array_from_numbers(_FLOATS.decode(text), dtype, name, shape, first)
    return array_from_leaves(_leaves(text, shape, first), dtype, name, shape, first)


def _leaves(text: bytes, shape: tuple[int, ...], first: int) -> list[Any]:
    try:
        return decode(text, list)
    except InvalidInput as error:  # its position counts from the beginning of the piece
        message = str(error)
        if found := _PLACE.search(message):
            indices = np.unravel_index(first + int(found[1]), shape)
            message = message.replace(found[0], f"`${''.join(f'[{index}]' for index in indices)}`")
        raise InvalidInput(message) from None


def count_elements(text: bytes | Span) -> int:
    """The number of elements in ``text``, without parsing it: of texts, where it has any, else of numbers.

    A list without elements counts as one.
    """
    if text.find(b'"') < 0:
        return _count_commas(text) + 1
    whole = bytes(text)
    quotes = whole.count(b'"')
    if b"\\" in whole:
        quotes -= whole.replace(b"\\\\", b"").count(b'\\"')
    return quotes // 2


def _refuse_texts(text: Span, dtype: np.dtype[Any], name: str) -> None:
    """Raises `InvalidInput` for quotes and braces; without them, all brackets and commas are structure."""
    found = [position for mark in (b'"', b"{") if (position := text.find(mark)) >= 0]
    if found:
        before = _count_commas(text.part(0, min(found)))
        shown = bytes(text.part(min(found), min(found) + 40)).decode(errors="replace")
        raise InvalidInput(f"input {name!r} holds {shown!r}... as element {before}; {dtype_name(dtype)} takes no text")


def _shape(text: Span, name: str) -> tuple[int, ...]:
    """The shape of lists of numbers: that of the first list at each level, if all others are equal to it."""
    if text.find(b"[", 1) < 0:
        return (0 if _is_empty(text) else _count_commas(text) + 1,)
    marks = b"".join([bytes(part).translate(None, _BUT_STRUCTURE) for part in text.parts(PIECE)])
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
    elif sizes[-1] == 1 and b"[]" in b"".join([bytes(part).translate(None, _SPACE) for part in text.parts(PIECE)]):
        raise _ragged(name)  # a list without elements has the brackets of one with a single one
    return tuple(sizes)


def _count_commas(text: bytes | Span) -> int:
    """With numpy for a long text, in a tenth of the time, by parts that fit into the processor's cache."""
    if isinstance(text, bytes) and len(text) <= LONG:
        return text.count(b",")
    parts = Span.over(text).parts(PIECE)
    return sum(int(np.count_nonzero(np.frombuffer(part.view, np.uint8) == ord(","))) for part in parts)


def _is_empty(text: Span) -> bool:
    """Whether the lists have no elements."""
    return not any(bytes(part).strip(b"[], \t\r\n") for part in text.parts(PIECE))


def _pieces(text: Span, shape: tuple[int, ...]) -> Iterator[bytes]:
    """Lists cut at commas; each piece begins and ends with the brackets of the lists in which it was cut."""
    begin = elements = 0
    opened = b""
    while begin <= len(text):  # a comma at the very end has an empty piece behind it, which is no JSON
        comma = text.find(b",", begin + PIECE)
        piece = text.part(begin, len(text) if comma < 0 else comma)
        elements += _count_commas(piece) + 1 if len(shape) > 1 else 0
        closed = b"" if comma < 0 else b"]" * _open_lists(shape, elements)
        yield b"".join((opened, piece.view, closed))
        begin += len(piece) + 1
        opened = b"[" * len(closed)


def _open_lists(shape: tuple[int, ...], elements: int) -> int:
    """The depth of the comma that follows so many elements."""
    depth, length = len(shape), shape[-1]
    while depth > 1 and elements % length == 0:
        depth -= 1
        length *= shape[depth - 1]
    return depth


def _ragged(name: str) -> InvalidInput:
    return InvalidInput(f"input {name!r} is ragged: its lists differ in length or depth")
