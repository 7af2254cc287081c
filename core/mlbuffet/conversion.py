"""Python lists and scalars as arrays of a declared dtype, without silent coercion."""

from array import array
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.text_arrays import bytes_array, place_in

PYTHON_TYPES = (bool, int, float, complex, str, bytes, list, tuple)

_ACCEPTED: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "true or false"),
    "i": (frozenset({int}), "whole numbers"),
    "f": (frozenset({int, float}), "numbers"),
    "c": (frozenset({int, float, complex}), "numbers"),
    "O": (frozenset({str, bytes}), "text or bytes"),
}
_CONVERTED = {"i": "bi", "f": "bif", "c": "bifc"}  # the kinds that can be converted to a kind
SMALL_DTYPES = tuple(
    np.dtype(scalar)
    for scalar in vars(ml_dtypes).values()
    if isinstance(scalar, type) and issubclass(scalar, np.generic)
)
MAX_RANK = 64  # of a numpy array
ML_INTEGERS = {
    np.dtype(ml_dtypes.int2): (-2, 1),
    np.dtype(ml_dtypes.uint2): (0, 3),
    np.dtype(ml_dtypes.int4): (-8, 7),
    np.dtype(ml_dtypes.uint4): (0, 15),
}
SATURATED = {
    np.dtype(ml_dtypes.float4_e2m1fn): 6.0,
    np.dtype(ml_dtypes.float6_e2m3fn): 7.5,
    np.dtype(ml_dtypes.float6_e3m2fn): 28.0,
}
"""The largest numbers of floats that have no infinity and no NaN, to which numpy would saturate larger ones."""
_CODES = {np.dtype(code): code for code in "bBhHiIqQfd"}
"""The dtypes of Python's ``array``, which is made as fast as one of numpy, without numpy's warnings of overflow."""


def array_from_python(value: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """An array of ``dtype`` with the shape of the nested lists of ``value``.

    Ints become floats; nothing else changes its type: no bool, text or None among numbers, no fraction among integers,
    nothing out of the dtype's range. Text becomes UTF-8 bytes. Raises `InvalidInput` that names the input, the position
    and the value.
    """
    shape, leaves = _flatten(value, name)
    try:
        return array_from_leaves(leaves, dtype, name, shape).reshape(shape)
    except InvalidInput:
        if not any(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves):
            raise
    if dtype.kind != "O":
        try:
            joined = np.array(value)
        except ValueError:
            raise InvalidInput(f"input {name!r} is a list of arrays that differ in shape") from None
        if joined.dtype != dtype:
            raise wrong_dtype(name, joined, dtype)
        return joined
    inner, leaves = _flatten([leaf.tolist() if hasattr(leaf, "tolist") else leaf for leaf in leaves], name)
    shape += inner[1:]
    return array_from_leaves(leaves, dtype, name, shape).reshape(shape)


def array_from_leaves(
    leaves: Sequence[Any], dtype: np.dtype[Any], name: str, shape: tuple[int, ...], first: int = 0
) -> NDArray[Any]:
    """A flat array of the elements of nested lists of ``shape`` from position ``first`` on; as above."""
    accepted, wanted = _ACCEPTED[kind_of(dtype)]
    if not set(map(type, leaves)) <= accepted:
        wrong = next(index for index, leaf in enumerate(leaves) if type(leaf) not in accepted)
        where = _at(name, shape, first + wrong, leaves[wrong])
        raise InvalidInput(f"{where}; {dtype_name(dtype)} takes {wanted}")
    if dtype.kind == "O":
        return bytes_array(leaves, shape, name)
    return array_from_numbers(leaves, dtype, name, shape, first)


def array_from_numbers(
    leaves: Sequence[Any], dtype: np.dtype[Any], name: str, shape: tuple[int, ...], first: int = 0
) -> NDArray[Any]:
    """The same for leaves whose types ``dtype`` is known to take."""
    try:
        numbers = _array(leaves, dtype)
        beyond = _out_of_range(numbers, leaves)
    except OverflowError:
        beyond = next(index for index, leaf in enumerate(leaves) if _overflows(leaf, dtype))
    if beyond is not None:
        where = _at(name, shape, first + beyond, leaves[beyond])
        raise InvalidInput(f"{where}, which is out of the range of {dtype_name(dtype)}")
    return numbers


def check_shape(name: str, shape: Sequence[int], itemsize: int) -> None:
    """Raise `InvalidInput` where the input ``name`` has a shape that no array has."""
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"input {name!r} has {len(shape)} dimensions; a tensor has at most {MAX_RANK}")
    most = itemsize  # a loop takes a third of the time of all() and prod()
    for size in shape:
        if not 0 <= size < 2**63:
            raise InvalidInput(f"the shape of input {name!r} has a dimension that is negative or over 64 bits")
        most *= size or 1
    if most >= 2**63:  # Python's integers do not overflow
        raise InvalidInput(f"input {name!r} has the shape {list(shape)}, which is too large for any tensor")


def kind_of(dtype: np.dtype[Any]) -> str:
    """The numpy kind of ``dtype``, with the small types of ml_dtypes counted as the numbers that they are."""
    if dtype.kind != "V" or not is_small(dtype):
        return "i" if dtype.kind == "u" else dtype.kind
    return "i" if dtype in ML_INTEGERS else "f"


def is_small(dtype: np.dtype[Any]) -> bool:
    """Whether ``dtype`` is one of ml_dtypes."""
    return dtype.type.__module__ == ml_dtypes.__name__


def has_json_form(dtype: np.dtype[Any]) -> bool:
    """Whether JSON can hold the elements: not complex numbers, nor floats of more than 64 bits."""
    return dtype.kind != "c" and (dtype.kind != "f" or dtype.itemsize <= 8)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of ``dtype`` in messages and tables: object arrays hold bytes."""
    match dtype.kind:
        case "O" | "S":
            return "bytes"
        case "U" | "T":
            return "text"
    return dtype.name if dtype.names is None else "structured"


def wrong_dtype(name: str, array: NDArray[Any], taken: np.dtype[Any]) -> InvalidInput:
    """The error of ``array``, the input ``name``, whose dtype is not ``taken``, with how to convert it."""
    came = dtype_name(array.dtype)
    if array.dtype.kind == "O" and array.size and not isinstance(first := array.flat[0], bytes):
        came = "text" if isinstance(first, str) else "object"
    problem = f"input {name!r} has dtype {came}; the model takes {dtype_name(taken)}"
    return InvalidInput(problem + _how_to_convert(array, taken))


def _how_to_convert(array: NDArray[Any], taken: np.dtype[Any]) -> str:
    came, kind = array.dtype, kind_of(taken)
    if came.kind in "mM":
        return f": a date or a duration is given as {'text' if kind == 'O' else 'a number, in the unit of the model'}"
    if came.names is not None:
        return ": give each field as an array of its own"
    if kind == "O":
        return ": give text (str) or bytes"
    if came.kind == "O":
        convertible = array.size > 0 and all(type(element) in _ACCEPTED[kind][0] for element in array.flat)
    else:
        convertible = kind_of(came) in _CONVERTED.get(kind, "")
    if not convertible:
        return ""
    written = f"ml_dtypes.{taken.name}" if is_small(taken) else f'"{taken.name}"'
    fits = kind != "i" or np.can_cast(came, taken)
    return f"; convert it with .astype({written}){'' if fits else ', where its values fit'}"


def _flatten(value: Any, name: str) -> tuple[tuple[int, ...], Sequence[Any]]:
    shape: list[int] = []
    level: Sequence[Any] = [value]
    while level and isinstance(level[0], list | tuple):
        length = len(level[0])
        for item in level:
            if not isinstance(item, list | tuple) or len(item) != length:
                raise InvalidInput(
                    f"input {name!r} is ragged: its lists differ in length or depth at level {len(shape) + 1}"
                )
        shape.append(length)
        if len(shape) > MAX_RANK:
            raise InvalidInput(f"input {name!r} is nested deeper than {MAX_RANK} lists")
        level = list(chain.from_iterable(level)) if len(level) > 1 else level[0]
    return tuple(shape), level


def _out_of_range(numbers: NDArray[Any], leaves: Sequence[Any]) -> int | None:
    """The position of the first of ``leaves`` that the dtype of ``numbers``, made of them, does not hold."""
    dtype = numbers.dtype
    if dtype in ML_INTEGERS:
        low, high = ML_INTEGERS[dtype]
        return _first(np.array([not low <= leaf <= high for leaf in leaves], bool))
    if dtype in SATURATED:
        return _first(~(np.abs(np.array(leaves, np.float64)) <= SATURATED[dtype]))
    if kind_of(dtype) in "fc" and b"\0" in np.isfinite(numbers).tobytes():  # a fifth of the price of all() for a few
        wide = np.array(leaves, np.clongdouble if dtype.kind == "c" else np.longdouble)
        return _first(~np.isfinite(numbers) & np.isfinite(wide))
    return None


def _array(leaves: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array, with infinity for numbers that are too large for a float. Raises ``OverflowError`` for integers."""
    code = _CODES.get(dtype)
    if code is not None and leaves:
        return np.frombuffer(array(code, leaves), dtype)
    with np.errstate(over="ignore"):
        if is_small(dtype) and kind_of(dtype) == "f":  # the small floats of ml_dtypes take no int beyond 64 bits
            return np.array(leaves, np.float64).astype(dtype)
        return np.fromiter(leaves, dtype, len(leaves))


def _overflows(leaf: Any, dtype: np.dtype[Any]) -> bool:
    with suppress(OverflowError):
        _array([leaf], dtype)
        return False
    return True


def _first(wrong: NDArray[Any]) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None


def _at(name: str, shape: tuple[int, ...], position: int, leaf: Any) -> str:
    if isinstance(leaf, int) and leaf.bit_length() > 128:  # Python refuses to write integers of over 4300 digits
        text = f"an integer of {leaf.bit_length()} bits"
    elif len(text := repr(leaf)) > 40:
        text = text[:40] + "..."
    return f"input {name!r} holds {text}{place_in(shape, position)}"
