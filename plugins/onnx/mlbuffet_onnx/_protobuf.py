"""The wire format of protocol buffers, read field by field."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, overload

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10


class Buffer(Protocol):
    """Bytes, or a file mapped into memory, of which only what is touched is read."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...


class Truncated(ValueError):
    """The message ends within a number."""


class Field(NamedTuple):
    """One field: its number and wire type; a varint's value, or where the value lies (which may be past the end)."""

    number: int
    wire_type: int
    value: int
    start: int
    end: int


def fields(data: Buffer, start: int, end: int) -> Iterator[Field]:
    """The fields of the message that fills ``data[start:end]``; ``ValueError`` where there cannot be a field."""
    while start < end:
        key, start = _varint(data, start)
        number, wire_type = key >> 3, key & 7
        value = 0
        if wire_type == BYTES:
            length, start = _varint(data, start)
            stop = start + length
        elif wire_type == VARINT:
            value, stop = _varint(data, start)
        elif wire_type in _FIXED_SIZES:
            stop = start + _FIXED_SIZES[wire_type]
        else:
            raise ValueError(f"there is no wire type {wire_type}")
        yield Field(number, wire_type, value, start, stop)
        start = stop


def varints(data: Buffer, field: Field) -> list[int]:
    """The numbers of a repeated field: one varint, or several packed into bytes."""
    if field.wire_type == VARINT:
        return [field.value]
    values = []
    position = field.start
    while position < field.end:
        value, position = _varint(data, position)
        values.append(value)
    return values


def signed(value: int) -> int:
    """The int64 or int32 that the varint ``value`` stands for."""
    return value - (1 << 64) if value >> 63 else value


def _varint(data: Buffer, position: int) -> tuple[int, int]:
    """The number at ``position``, and the position after it."""
    value = 0
    try:
        for shift in range(0, 7 * _LONGEST_VARINT, 7):
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
    except IndexError:
        raise Truncated("the message ends within a number") from None
    raise ValueError(f"a number has more than {_LONGEST_VARINT} bytes")
