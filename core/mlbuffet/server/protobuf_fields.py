"""Fields of protobuf's encoding, written without a class of the message.

https://protobuf.dev/programming-guides/encoding/
"""

from functools import lru_cache

_LENGTH_DELIMITED = 2


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, of text, of a message or of packed numbers."""
    return field_head(number, len(content)) + content


@lru_cache(maxsize=1024)
def field_head(number: int, size: int) -> bytes:
    """What stands before the ``size`` bytes of such a field."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(size)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    pieces.append(value)
    return bytes(pieces)
