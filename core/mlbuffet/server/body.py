"""The bodies of requests and answers: within limits, and compressed as the other side wishes."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.server.settings import ServerSettings

_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's words for the formats of RFC 1952 and RFC 1950
_WORTH_COMPRESSING = 1024  # bytes


async def read_body(request: Request, settings: ServerSettings) -> bytes:
    """The body, decompressed.

    Raises `HTTPException`: 413 for one that is too large, before it is read where its length is announced; 408 for one
    that does not arrive in time; 415 for an encoding that is not known; 400 for one that is corrupt.
    """
    limit = settings.max_body
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(settings.body_seconds):
            body = await _received(request, limit, settings.body_idle_seconds)
    except TimeoutError:
        raise _late() from None
    return _decompressed(body, request.headers.get("content-encoding", "identity").lower(), limit)


async def _received(request: Request, limit: int, idle_seconds: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in arriving(request, idle_seconds):
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


async def arriving(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body piece by piece. Raises `HTTPException` 408 where none comes for so long."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                piece = await anext(stream, None)
        except TimeoutError:
            raise _late() from None
        if piece is None:
            return
        yield piece


def compress(response: Response, request: Request) -> Response:
    """``response`` in an encoding that the client accepts, where it is long enough for that to pay."""
    body = bytes(response.body)
    accepted = request.headers.get("accept-encoding", "")
    if len(body) < _WORTH_COMPRESSING or not accepted:
        return response
    encoding = next((name for name in _WINDOWS if name in _wanted(accepted)), None)
    if encoding is not None:
        packer = zlib.compressobj(level=1, wbits=_WINDOWS[encoding])
        response.body = packer.compress(body) + packer.flush()
        response.headers["content-encoding"] = encoding
        response.headers["content-length"] = str(len(response.body))
        response.headers["vary"] = "Accept-Encoding"
    return response


def _wanted(accepted: str) -> set[str]:
    """The encodings that Accept-Encoding names, without those of quality 0."""
    pieces = (piece.partition(";") for piece in accepted.lower().split(","))
    return {name.strip() for name, _, quality in pieces if quality.replace(" ", "") not in ("q=0", "q=0.0")}


def _decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("identity", ""):
        return body
    if encoding not in _WINDOWS:
        raise HTTPException(415, f"the content encoding {encoding!r} is not known; there are: {', '.join(_WINDOWS)}")
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        whole = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise HTTPException(400, f"the body is not valid {encoding}") from None
    if len(whole) > limit:
        raise _too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise HTTPException(400, f"the body is not valid {encoding}: it is cut, or something follows it")
    return whole


def _late() -> HTTPException:
    late = "the body of the request did not arrive in time"
    return HTTPException(408, late, {"connection": "close"})  # the rest of it may yet come


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {limit} bytes, which is the limit of this server")
