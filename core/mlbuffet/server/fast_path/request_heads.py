"""The heads of requests as bytes, of which each is parsed once, however often it comes.

A client repeats its heads to the last byte. That of a request which is answered at once is looked up in a dictionary,
which takes a tenth of the time of a parser that calls Python for each header.
"""

import re
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from mlbuffet.server.http.head_limits import MAX_HEADERS
from mlbuffet.server.http.host_header import host_problem

T = TypeVar("T")

END = b"\r\n\r\n"
MAX_BYTES = 8 * 1024
"""Of a head that is looked up. Tokens of authorization have one or two thousand."""
ROOM = 2**20
"""Bytes of all heads that are known; a usual one has 200."""

_OTHERWISE = {b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"}
_CONNECTION = {b"connection", b"proxy-connection"}  # which are one to httptools
_LENGTH = re.compile(rb"[0-9]{1,5}")


class Head(NamedTuple):
    """The head of a POST that asks for nothing special, with the length of its body in bytes."""

    path: str
    headers: list[tuple[bytes, bytes]]
    """Names are in small letters."""
    length: int


class RequestHeads(Generic[T]):
    """What ``recognize`` makes of heads, without asking twice as long as there is room."""

    def __init__(self, recognize: Callable[[Head], T | None]) -> None:
        self._recognize = recognize
        self._known: dict[bytes, T | None] = {}
        self._size = 0

    def find(self, head: bytes) -> T | None:
        """What is made of ``head``, which is without its empty line; ``None`` where it asks for something special."""
        try:
            return self._known[head]
        except KeyError:
            return self._parsed(head)

    def _parsed(self, head: bytes) -> T | None:
        if len(head) > MAX_BYTES:
            return None
        parsed = parse_head(head)
        found = None if parsed is None else self._recognize(parsed)
        if self._size + len(head) > ROOM:  # heads that never come again take it up too
            self._known.clear()
            self._size = 0
        self._known[head] = found
        self._size += len(head)
        return found


def parse_head(head: bytes) -> Head | None:
    """What httptools reads in ``head``; ``None`` for what is no head of such a request."""
    reader = _Reader()
    parser = HttpRequestParser(reader)
    try:
        parser.feed_data(head + END)
    except (HttpParserError, HttpParserUpgrade):
        return None
    length = _length_of_body(reader.headers)
    if len(reader.headers) > MAX_HEADERS or length is None or not reader.ended:
        return None
    if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or host_problem(reader.headers, "1.1"):
        return None
    return Head(reader.url.decode("latin-1"), reader.headers, length)


class _Reader:
    """What httptools calls."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.ended = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.ended = True


def _length_of_body(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The length of the body that these announce, unless they ask for something special."""
    length = b""
    for name, value in headers:
        if name in _OTHERWISE or (name in _CONNECTION and value.lower() != b"keep-alive"):
            return None
        if name == b"content-length":
            length = value
    return int(length) if _LENGTH.fullmatch(length) else None
