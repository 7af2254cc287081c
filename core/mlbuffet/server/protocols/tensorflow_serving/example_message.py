"""tf.Example as protobuf's bytes.

Example{features=1}, Features{map feature=1}, Feature{bytes_list=1 | float_list=2 | int64_list=3}, as in example.proto
and feature.proto of tensorflow/core/example. Concatenated messages merge, the features of the later one winning.
"""

from collections.abc import Mapping
from struct import pack

from mlbuffet.server.protobuf_fields import field, varint

Feature = list[bytes] | list[float] | list[int]

_BYTES, _FLOATS, _INTEGERS = 1, 2, 3


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """The message with ``features``, each of which has values of one type; integers are of 64 bits."""
    entries = (
        field(1, field(1, name.encode()) + field(2, _encode_feature(values))) for name, values in features.items()
    )
    return field(1, b"".join(entries))


def _encode_feature(values: Feature) -> bytes:
    match values[:1]:
        case []:
            return b""
        case [bytes()]:
            return field(_BYTES, b"".join(field(1, value) for value in values if isinstance(value, bytes)))
        case [float()]:
            return field(_FLOATS, field(1, pack(f"<{len(values)}f", *values)))
        case _:
            return field(
                _INTEGERS,
                field(1, b"".join(varint(value % 2**64) for value in values if type(value) is int)),
            )
