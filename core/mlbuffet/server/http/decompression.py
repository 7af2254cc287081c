"""Decompression of bodies, up to a limit."""

import zlib

from starlette.exceptions import HTTPException

WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's words for the formats of RFC 1952 and RFC 1950
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


def too_large(limit: int) -> HTTPException:
    """The error for a body of more than ``limit`` bytes."""
    return HTTPException(413, f"the body is larger than {limit} bytes, which is the limit of this server")


def _invalid(encoding: str, reason: str) -> HTTPException:
    return HTTPException(400, f"the body is not valid {encoding}" + (f": {reason}" if reason else ""))
