"""JSON without its long lists of numbers, which a decoder would have to skip."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias, TypeVar

import msgspec

from mlbuffet.errors import MLBuffetError
from mlbuffet.json_tensors.span import Span
from mlbuffet.json_tensors.text import text_of

T = TypeVar("T")
TextOf: TypeAlias = Callable[[msgspec.Raw | bytes], bytes | Span]
"""Gives the text of a value that `mlbuffet.json_tensors.text.decode_outline` did not decode."""

LONG = 8 * 1024  # bytes without a quote, which are worth a look
_MARK = b"e8888888]"  # the end of the placeholder of a list: a number that no type holds, so that it is never decoded
_OPENING = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*((?:\[[ \t\r\n]*){1,64})")
_BEHIND_NUMBERS = b" \t\r\n,[]{}"
_ENDING = 1024  # bytes, among the last of which there is a number


def read_outlined(text: bytes, read: Callable[[bytes, TextOf], T]) -> T:
    """The result of ``read`` for ``text`` with placeholders for the long lists.

    ``read`` has to raise where a list whose text it takes is no JSON. Where it raises, or does not take every list, it
    is called again with ``text`` as it is.
    """
    if len(text) > LONG:
        outline, lists = _without_lists(text)
        unread = set(lists)

        def list_or_text_of(raw: msgspec.Raw | bytes) -> bytes | Span:
            value = bytes(raw)
            if not value.endswith(_MARK):
                return text_of(value)
            unread.discard(value)
            return lists[value]

        if lists:
            with suppress(MLBuffetError):
                found = read(outline, list_or_text_of)
                if not unread:
                    return found
    return read(text, text_of)


def _without_lists(text: bytes) -> tuple[bytes, dict[bytes, Span]]:
    """The text with a placeholder for each long list, and the lists by their placeholders.

    What was found is a list if its text is taken: then its placeholder is a value of the JSON. What only looks like a
    list, in a string or in a member that is not read, is not taken.
    """
    parts: list[bytes] = []
    lists: dict[bytes, Span] = {}
    position = 0
    for begin, end in _lists(text):
        mark = b"[%d%b" % (len(lists) + 1, _MARK)
        lists[mark] = Span(text, begin, end)
        parts += [text[position:begin], mark]
        position = end
    parts.append(text[position:])
    if any(_MARK in part for part in parts[::2]):  # the text has what looks like a placeholder
        return text, {}
    return b"".join(parts), lists


def _lists(text: bytes) -> Iterator[tuple[int, int]]:
    """The places of possible lists: behind a name and a colon, and without strings."""
    for begin, end in _gaps(text):
        if opening := _OPENING.match(text, begin, end):
            closed = _closed(text, opening.end(), end, opening[1].count(b"["))
            if closed > 0:
                yield opening.start(1), closed


def _gaps(text: bytes) -> Iterator[tuple[int, int]]:
    """The places between two quotes that are at least `LONG` bytes apart."""
    position = 0
    while position < len(text):
        if text.find(b'"', position, position + LONG) >= 0:
            position += LONG
            continue
        begin, end = text.rfind(b'"', 0, position) + 1, text.find(b'"', position)
        position = len(text) if end < 0 else end
        yield begin, position


def _closed(text: bytes, begin: int, end: int, depth: int) -> int:
    """The end of a list of numbers that is ``depth`` deep; 0 where there is none."""
    begin = max(begin, end - _ENDING)
    position = begin + len(text[begin:end].rstrip(_BEHIND_NUMBERS))
    if position == begin:
        return 0
    for _ in range(depth):
        position = text.find(b"]", position, end) + 1
        if position == 0:
            return 0
    return position
