"""TensorProto to arrays, and arrays to TensorProto."""

from math import prod
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import array_from_numbers, check_shape
from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages.tensorflow_core import TensorProto, TensorShapeProto
from mlbuffet.server.protobuf_fields import field
from mlbuffet.server.protocols.tensorflow_serving.datatypes import datatype_of, type_name

_ENUM = TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type
_SCALARS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "O")
_SMALL = (
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.int4,
    ml_dtypes.uint4,
    ml_dtypes.int2,
    ml_dtypes.uint2,
)
_DTYPES = {np.dtype(one) for one in (*_SCALARS, *_SMALL)}
DTYPES: dict[int, np.dtype[Any]] = {
    _ENUM.values_by_name[name].number: dtype for dtype in _DTYPES if (name := datatype_of(dtype)) != "DT_INVALID"
}
"""The dtypes that a message can hold, by the number of TensorFlow's name."""
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
_FIELDS: dict[str, str] = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_STRING": "string_val",
    "DT_COMPLEX64": "scomplex_val",
    "DT_COMPLEX128": "dcomplex_val",
    "DT_INT64": "int64_val",
    "DT_BOOL": "bool_val",
    "DT_HALF": "half_val",
    "DT_BFLOAT16": "half_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
    "DT_FLOAT8_E5M2": "float8_val",
    "DT_FLOAT8_E4M3FN": "float8_val",
}
"""The fields of typed values; that of all others is ``int_val``."""
_VALUES = frozenset((*_FIELDS.values(), "int_val"))
_PACKED: dict[str, int] = {
    field: TensorProto.DESCRIPTOR.fields_by_name[field].number
    for field in ("float_val", "double_val", "scomplex_val", "dcomplex_val", "bool_val")
}
"""Fields whose elements are in a message as they are in memory."""


def array_of(tensor: TensorProto, name: str, max_bytes: int) -> NDArray[Any]:
    """The array of a message, in any of its forms. Raises `InvalidInput`.

    Where there are fewer values than the shape has elements, the last is repeated, as TensorFlow does it, and 0 where
    there are none; then the array may have ``max_bytes`` at most.
    """
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        named = _ENUM.values_by_number.get(tensor.dtype)
        shown = tensor.dtype if named is None else named.name
        raise InvalidInput(f"input {name!r} is of type {shown}, which no input has")
    if tensor.tensor_shape.unknown_rank:
        raise InvalidInput(f"input {name!r} has a shape of unknown rank; send the sizes of its dimensions")
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    check_shape(name, shape, dtype.itemsize)
    wanted = _FIELDS.get(datatype_of(dtype), "int_val")
    given = [field.name for field, _ in tensor.ListFields() if field.name in _VALUES]
    if other := next((field for field in given if field != wanted), None):
        raise InvalidInput(f"input {name!r} has {other}; {type_name(dtype)} has {wanted}")
    if content := tensor.tensor_content:
        if given:
            raise InvalidInput(f"input {name!r} has {wanted} beside tensor_content; send one of them")
        return _of_content(content, dtype, shape, name)
    return _filled(_values(getattr(tensor, wanted), dtype, name), shape, name, max_bytes)


def tensor_of(array: NDArray[Any], name: str) -> TensorProto:
    """The message of an output, with typed values, as TensorFlow Serving answers. Raises `InvalidInput`."""
    number = NUMBERS.get(array.dtype)
    if number is None:
        raise InvalidInput(f"output {name!r} is {array.dtype.name}, for which the protocol has no form")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in array.shape])
    tensor = TensorProto(dtype=_ENUM.values_by_number[number].name, tensor_shape=shape)
    values: str = _FIELDS.get(datatype_of(array.dtype), "int_val")
    match values:
        case "string_val":
            tensor.string_val.extend(array.ravel().tolist())
        case "half_val":
            tensor.half_val.extend(np.ascontiguousarray(array).view(np.uint16).ravel().tolist())
        case "float8_val":
            tensor.float8_val = array.tobytes()
        case _ if values in _PACKED:
            tensor.MergeFromString(_packed(_PACKED[values], array))
        case _:
            plain = array.astype(np.int64) if array.dtype.kind == "V" else array  # that of ml_dtypes
            getattr(tensor, values).extend(plain.ravel().tolist())
    return tensor


def _of_content(content: bytes, dtype: np.dtype[Any], shape: list[int], name: str) -> NDArray[Any]:
    if dtype.kind == "O":
        raise InvalidInput(f"input {name!r} has tensor_content, which text has not; send string_val")
    size = prod(shape) * dtype.itemsize
    if len(content) != size:
        raise InvalidInput(f"input {name!r} has {len(content)} bytes; {type_name(dtype)} of shape {shape} takes {size}")
    if dtype.kind == "b" and max(content) > 1:
        raise InvalidInput(f"input {name!r} holds a byte that is neither 0 nor 1; a bool is one or the other")
    return np.frombuffer(content, dtype.newbyteorder("<")).view(dtype).reshape(shape)


def _values(values: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """The typed values, flat."""
    if isinstance(values, bytes):
        return np.frombuffer(values, dtype)
    elements = list(values)
    match dtype.kind:
        case "O":
            array = np.empty(len(elements), object)
            array[:] = elements
            return array
        case "c":
            if len(elements) % 2:
                raise InvalidInput(f"input {name!r} has {len(elements)} numbers; a complex number takes two")
            return np.array(elements, np.float32 if dtype.itemsize == 8 else np.float64).view(dtype)
        case "b":
            return np.array(elements, dtype)
    if dtype in (np.float16, ml_dtypes.bfloat16):
        return array_from_numbers(elements, np.dtype(np.uint16), name, (len(elements),)).view(dtype)
    return array_from_numbers(elements, dtype, name, (len(elements),))


def _filled(values: NDArray[Any], shape: list[int], name: str, max_bytes: int) -> NDArray[Any]:
    count, size = len(values), prod(shape)
    if count == size:
        return values.reshape(shape)
    if count > size:
        raise InvalidInput(f"input {name!r} has {count} values; its shape {shape} holds {size}")
    if size * values.dtype.itemsize > max_bytes:
        raise InvalidInput(f"input {name!r} of shape {shape} is larger than this server takes (--max-body)")
    zero: Any = b"" if values.dtype.kind == "O" else values.dtype.type(0)
    filled = np.full(size, values[-1] if count else zero, values.dtype)
    filled[:count] = values
    return filled.reshape(shape)


def _packed(number: int, array: NDArray[Any]) -> bytes:
    """A repeated field as it is in a message, in a fraction of the time that its elements take one by one."""
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return field(number, content)
