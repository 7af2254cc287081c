"""Decompression of request bodies, up to a limit, and compression of response bodies."""

import zlib

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mlbuffet.inference.offload import offload

WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's words for the formats of RFC 1952 and RFC 1950
WORTH_COMPRESSING = 1024  # bytes
MAX_MEMBERS = 10_000
"""Of a gzip body: empty members take time too."""
_PIECE = 64 * 1024  # bytes, which are copied where a member ends among them


def coding(name: str) -> str:
    """The content coding ``name`` in lower case; ``x-gzip`` is gzip (RFC 9110, 8.4.1.3)."""
    name = name.strip().lower()
    return "gzip" if name == "x-gzip" else name


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """``body``, decompressed; one that is gzip may have several members (RFC 1952, 2.2).

    Raises `HTTPException`: 415, 413 over ``limit`` bytes, 400.
    """
    if encoding not in WINDOWS:
        raise HTTPException(415, f"the content encoding {encoding!r} is not known; there are: {', '.join(WINDOWS)}")
    pieces: list[bytes] = []
    size = position = 0
    for number in range(MAX_MEMBERS):
        unpacker = zlib.decompressobj(WINDOWS[encoding])
        length = _PIECE if number else len(body)  # a body of one member is not copied
        while not unpacker.eof:
            part = memoryview(body)[position : position + length]
            if not part:
                raise _invalid(encoding, "it is cut, or something follows it" if number else "it is cut")
            try:
                pieces.append(unpacker.decompress(part, limit + 1 - size))
            except zlib.error:
                raise _invalid(encoding, "something follows it" if number else "") from None
            size += len(pieces[-1])
            if size > limit:
                raise too_large(limit)
            position += len(part)
        position -= len(unpacker.unused_data)
        if position == len(body):
            return b"".join(pieces)
        if encoding != "gzip":
            raise _invalid(encoding, "something follows it")
    raise _invalid(encoding, f"it has more than {MAX_MEMBERS} members")


def compress(response: Response, accepted: str | None) -> Response:
    """``response`` in an encoding that the header Accept-Encoding allows, where it is long enough to be worth it."""
    if len(response.body) < WORTH_COMPRESSING or not accepted:
        return response
    pieces = (piece.partition(";") for piece in accepted.lower().split(","))
    wanted = {coding(name) for name, _, quality in pieces if quality.replace(" ", "") not in ("q=0", "q=0.0")}
    encoding = next((name for name in WINDOWS if name in wanted), None)
    return response if encoding is None else _Compressed(response, encoding)


class _Compressed(Response):
    """``response``, compressed when it is sent; a large one in a thread, as 60 MiB take a second."""

    def __init__(self, response: Response, encoding: str) -> None:
        super().__init__(response.body, response.status_code, dict(response.headers))
        self.headers["content-encoding"] = encoding
        self.headers["vary"] = "Accept-Encoding"

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await offload(len(self.body), self._compress)
        await super().__call__(scope, receive, send)

    def _compress(self) -> None:
        packer = zlib.compressobj(level=1, wbits=WINDOWS[self.headers["content-encoding"]])
        self.body = packer.compress(self.body) + packer.flush()
        self.headers["content-length"] = str(len(self.body))


def too_large(limit: int) -> HTTPException:
    """The error for a body of more than ``limit`` bytes."""
    return HTTPException(413, f"the body is larger than {limit} bytes, which is the limit of this server")


def _invalid(encoding: str, reason: str) -> HTTPException:
    return HTTPException(400, f"the body is not valid {encoding}" + (f": {reason}" if reason else ""))
