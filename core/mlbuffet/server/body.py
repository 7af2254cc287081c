"""The bodies of requests and answers: within limits, and compressed as the other side wishes."""

import zlib

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's words for the formats of RFC 1952 and RFC 1950
_WORTH_COMPRESSING = 1024  # bytes


async def read_body(request: Request, limit: int) -> bytes:
    """The body, decompressed, of ``limit`` bytes at most.

    Raises `HTTPException`: 413 for a larger one, before it is read where its length is announced; 415 for an encoding
    that is not known; 400 for one that is corrupt.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return _decompressed(b"".join(pieces), request.headers.get("content-encoding", "identity").lower(), limit)


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


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {limit} bytes, which is the limit of this server")
