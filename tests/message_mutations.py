"""Messages of protobuf that were changed: field by field, so that they say what is not so, and byte by byte."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

FLOATS = [0.0, -0.0, 1.0, 0.5, 666.0, 3e38, 5e-324, float("nan"), float("inf"), float("-inf")]
SIZES = [
    0,
    1,
    2,
    3,
    4,
    8,
    64,
    65,
    127,
    128,
    255,
    256,
    300,
    2**15,
    2**16,
    2**20,
    2**31,
    2**32,
    2**40,
    2**53,
    2**60,
    2**62,
]
INTEGERS = sorted({sign * (size + more) for size in (*SIZES, 2**63, 2**64) for sign in (1, -1) for more in (-1, 0)})
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 1000),
}
BYTES = [b"", b"\0", b"\2", b"\xff\xff\xff\xff", b"\x01\0\0\0a", b"\0\0\0\x80", bytes(12), bytes(100_000)]


class Mutations:
    """What ``chance`` makes of messages; ``names`` are strings that mean something where they are."""

    def __init__(self, names: Sequence[str], chance: Random) -> None:
        self._names = [*names, "", "a", "1", "01", "-1", "../a", "\0", "ä\n", "n" * 300, "n" * 20_000]
        self._chance = chance

    def changed(self, message: Any) -> bytes:
        """``message`` with a few of its fields changed, then a few of its bytes; at times with neither."""
        copy = type(message)()
        copy.CopyFrom(message)
        for _ in range(self._chance.choice([0, 0, 1, 1, 2, 4])):
            self._change_a_field(self._chance.choice([copy, *_within(copy)]))
        body: bytes = copy.SerializeToString()
        for _ in range(self._chance.choice([0, 0, 0, 1, 2, 8])):
            body = self._damaged(body)
        return body

    def _damaged(self, body: bytes) -> bytes:
        chance = self._chance
        begin = chance.randrange(len(body) + 1)
        end = min(len(body), begin + chance.choice([0, 1, 1, 2, 9, 100]))
        piece = body[begin:end]
        match chance.randrange(5):
            case 0:
                piece = chance.randbytes(len(piece))
            case 1:
                piece = bytes(byte ^ 1 << chance.randrange(8) for byte in piece)
            case 2:
                piece += chance.choice([piece, b"\xff" * 10, b"\x80", b"\x7f", b"\0", body])
            case 3:
                piece = b""
            case 4:
                return body[:begin]
        return body[:begin] + piece + body[end:]

    def _change_a_field(self, message: Any) -> None:
        there = [field for field, _ in message.ListFields()]
        field = self._chance.choice(
            self._chance.choice([there, message.DESCRIPTOR.fields]) or message.DESCRIPTOR.fields
        )
        if self._chance.randrange(6) == 0:
            message.ClearField(field.name)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._change_a_map(getattr(message, field.name), field.message_type.fields_by_name["value"])
        elif field.is_repeated:
            self._change_a_list(getattr(message, field.name), field)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
        else:
            setattr(message, field.name, self._value(field))

    def _change_a_map(self, values: Any, of: FieldDescriptor) -> None:
        keys = list(values)
        chosen, new = self._chance.choice([*keys, "x"]), self._chance.choice(self._names)
        if of.message_type is None:
            values[new] = self._value(of)
        elif chosen in keys:
            values[new].CopyFrom(values[chosen])
        else:
            values[new].SetInParent()
        if chosen in keys and chosen != new and self._chance.randrange(2):
            del values[chosen]

    def _change_a_list(self, values: Any, of: FieldDescriptor) -> None:
        where = self._chance.randrange(len(values) + 1)
        if where < len(values) and self._chance.randrange(3) == 0:
            del values[where:]
        elif of.message_type is not None:
            values.add().CopyFrom(values[where]) if where < len(values) - 1 else values.add()
        elif where < len(values) and self._chance.randrange(2):
            values[where] = self._value(of)
        else:
            values.extend([self._value(of)] * self._chance.choice([1, 1, 1, 2, 70]))

    def _value(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return self._chance.choice([*BYTES, self._chance.randbytes(self._chance.randrange(40))])
            case FieldDescriptor.CPPTYPE_STRING:
                return self._chance.choice(self._names)
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return self._chance.choice(FLOATS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._chance.randrange(2) == 1
        least, end = LIMITS[field.cpp_type]
        usual = range(-1, 32) if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM else INTEGERS
        return self._chance.choice([number for number in usual if least <= number < end])


def _within(message: Any) -> Iterator[Any]:
    """All messages within ``message``."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            found = list(value.values()) if field.message_type.fields_by_name["value"].message_type is not None else []
        else:
            found = list(value) if field.is_repeated else [value]
        for one in found:
            yield one
            yield from _within(one)
