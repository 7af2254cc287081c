"""Reading request bodies within limits."""

import asyncio
from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from mlbuffet.server.http.body_gathering import gather
from mlbuffet.server.http.compression import coding, decompressed, too_large
from mlbuffet.server.settings import ServerSettings

_QUICKLY_DECOMPRESSED = 2 * 1024  # bytes, of which zlib makes 2 MiB at most


def header(request: Request, name: bytes) -> str | None:
    """The value of the header ``name``, which is in lower case, if it is there; several values are joined by commas.

    Starlette's ``headers`` takes four times as long where there is no such header.
    """
    values = [value for key, value in request.scope["headers"] if key == name]
    return b", ".join(values).decode("latin-1") if values else None


def announced_length(request: Request) -> int:
    """The header Content-Length; 0 where it is missing or not a number."""
    announced = header(request, b"content-length") or ""
    return int(announced) if announced.isascii() and announced.isdigit() else 0


async def read_body(request: Request, settings: ServerSettings, padding: int = 0) -> bytes:
    """The body, decompressed, behind ``padding`` zero bytes.

    Raises `HTTPException`: 413 for one that is too large, before it is read where its length is announced; 408 for one
    that does not arrive in time; 415 for an unknown encoding; 400 for one that is corrupt or ends early.
    """
    limit = settings.max_body
    if announced_length(request) > limit:
        raise too_large(limit)
    pieces = await _in_time(request, settings)
    encoded = header(request, b"content-encoding")
    if encoded and (encoding := coding(encoded)) != "identity":
        body = b"".join(pieces)
        if len(body) <= _QUICKLY_DECOMPRESSED:
            pieces = [decompressed(body, encoding, limit)]
        else:
            pieces = [await run_sync(decompressed, body, encoding, limit)]
    return b"".join([bytes(padding), *pieces] if padding else pieces)


async def _in_time(request: Request, settings: ServerSettings) -> list[bytes]:
    """The pieces of the body."""
    now, idle = asyncio.get_running_loop().time, settings.body_idle_seconds
    until, end = now() + idle, now() + settings.body_seconds
    pieces: list[bytes] = []
    size = 0

    def take(piece: bytes) -> None:
        nonlocal size, until
        pieces.append(piece)
        size += len(piece)
        if now() + idle > until and not limit.expired():  # seldom: to reset the timer costs as much as to receive
            until = now() + 1.1 * idle
            limit.reschedule(min(end, until))

    try:
        async with asyncio.timeout_at(min(end, until)) as limit:
            while True:
                message = await request.receive()
                take(_piece(message))
                if size > settings.max_body:
                    raise too_large(settings.max_body)
                if not message.get("more_body"):
                    return pieces
                if len(pieces) == 1 and header(request, b"content-length"):  # else it may have no end
                    gather(request, take)
    except TimeoutError:
        raise _late() from None


def _piece(message: Message) -> bytes:
    if message["type"] == "http.disconnect":  # no client reads this response
        raise HTTPException(400, "the connection ended before the body did")
    piece: bytes = message.get("body", b"")
    return piece


async def arriving(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body piece by piece. Raises `HTTPException` 408 where none arrives within ``idle_seconds``."""
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


def _late() -> HTTPException:
    late = "the body of the request did not arrive in time"
    return HTTPException(408, late, {"connection": "close"})  # the rest of it may still arrive
