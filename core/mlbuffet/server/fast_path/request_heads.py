"""The heads of requests, each of which is parsed once, however often it arrives.

A client sends the same head again and again. To look it up in a dictionary takes a tenth of the time of a parser that
calls Python for each header.
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
"""The longest head that is looked up. Tokens of authorization have one or two thousand bytes."""
MAX_TOTAL_BYTES = 2**20
"""Of all heads that are kept; a usual one has 200."""

_UNUSUAL = {b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"}
_CONNECTION = {b"connection", b"proxy-connection"}  # which are one to httptools
_LENGTH = re.compile(rb"[0-9]{1,5}")


class Head(NamedTuple):
    """The head of a POST without unusual headers, with the length of its body in bytes."""

    path: str
    headers: list[tuple[bytes, bytes]]
    """With names in lower case."""
    length: int


class RequestHeads(Generic[T]):
    """What ``recognize`` returns for heads, kept up to `MAX_TOTAL_BYTES`."""

    def __init__(self, recognize: Callable[[Head], T | None]) -> None:
        self._recognize = recognize
        self._known: dict[bytes, T | None] = {}
        self._size = 0

    def find(self, head: bytes) -> T | None:
        """The result for ``head``, which is without its empty line; ``None`` for one that is invalid or unusual."""
        try:
            return self._known[head]
        except KeyError:
            if len(head) > MAX_BYTES:
                return None
        parsed = parse_head(head)
        found = None if parsed is None else self._recognize(parsed)
        if self._size + len(head) > MAX_TOTAL_BYTES:
            self._known.clear()
            self._size = 0
        self._known[head] = found
        self._size += len(head)
        return found


def parse_head(head: bytes) -> Head | None:
    """``head`` as httptools parses it; ``None`` where it is invalid or unusual."""
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
    """The callbacks of httptools."""

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
    """The length of the body that ``headers`` announce; ``None`` where there is none, or an unusual header."""
    length = b""
    for name, value in headers:
        if name in _UNUSUAL or (name in _CONNECTION and value.lower() != b"keep-alive"):
            return None
        if name == b"content-length":
            length = value
    return int(length) if _LENGTH.fullmatch(length) else None
