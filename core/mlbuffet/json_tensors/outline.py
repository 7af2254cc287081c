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
    if len(text) > LONG and (lists := _LongLists(text)).unread:
        with suppress(MLBuffetError):
            found = read(lists.outline, lists.text_of)
            if not lists.unread:
                return found
    return read(text, text_of)


class _LongLists:
    """The long lists of a text, and the text with placeholders for them.

    What was found is a list if its text is taken: then its placeholder is a value of the JSON. What only looks like a
    list, in a string or in a member that is not read, is not taken.
    """

    def __init__(self, text: bytes) -> None:
        parts: list[bytes] = []
        self._lists: dict[bytes, Span] = {}
        position = 0
        for begin, end in _lists(text):
            mark = b"[%d%b" % (len(self._lists) + 1, _MARK)
            self._lists[mark] = Span(text, begin, end)
            parts += [text[position:begin], mark]
            position = end
        parts.append(text[position:])
        self.outline = b"".join(parts)
        self.unread = set(self._lists)
        if self.unread and any(_MARK in part for part in parts[::2]):
            self.unread.clear()  # the text has what looks like a placeholder

    def text_of(self, raw: msgspec.Raw | bytes) -> bytes | Span:
        """The text of a value; that of a long list may be no JSON."""
        text = bytes(raw)
        if not text.endswith(_MARK):
            return text_of(text)
        self.unread.discard(text)
        return self._lists[text]


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
