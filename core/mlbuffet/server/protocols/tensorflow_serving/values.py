"""JSON values as arrays."""

import re
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import MAX_RANK, array_from_python, has_json_form, kind_of
from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.arrays import MANAGEABLE, array_from_text
from mlbuffet.json_tensors.span import Span
from mlbuffet.json_tensors.text import decode
from mlbuffet.server.protocols.tensorflow_serving.datatypes import type_name
from mlbuffet.tensors import TensorSpec

_TYPES_OF_KIND: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "f": (int, float), "O": (str, bytes)}
_SPACE = re.compile("[ \\t-\\r]+")
_JSON_TYPES = {bool: "Bool", int: "Number", float: "Number", str: "String", dict: "Object"}


MAX_OBJECTS = 2**20
"""How many objects a request may hold: as Python objects they take ten times the memory of their text."""


def array_from_json(text: bytes | Span, spec: TensorSpec) -> NDArray[Any]:
    """The value of ``text``, a scalar or nested lists, as an array of the dtype of ``spec`` and of any shape.

    ``{"b64": "..."}`` is an element of a string tensor. Raises `InvalidInput` that names the input, the position and
    the value.
    """
    if not has_json_form(spec.dtype):
        raise InvalidInput(f"input {spec.name!r} is {spec.dtype.name}, for which the protocol has no form")
    try:
        if spec.dtype.kind != "O":
            return array_from_text(text, spec.dtype, spec.name)
        return array_from_python(_with_bytes(decode(bytes(text), Any), spec.name, ()), spec.dtype, spec.name)
    except InvalidInput as error:
        raise _named_as_tensorflow_does(error, text, spec.dtype) from None


def refuse_many_objects(text: bytes, where: str) -> None:
    """Raise `InvalidInput` where a text may hold more objects than a request may, before they are made."""
    if text.count(b"{") > MAX_OBJECTS:
        raise InvalidInput(f"{where} holds more than {MAX_OBJECTS} objects; send fewer rows at a time, or columns")


def is_base64(value: Any) -> bool:
    """Whether a value is bytes, not an object of named values."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def bytes_from_base64(value: dict[str, str], where: str) -> bytes:
    """The bytes of ``{"b64": "..."}``, as TensorFlow Serving reads it.

    Lines may be broken; padding is there or not, and where it is there, it is whole.
    """
    text = _SPACE.sub("", value["b64"])
    digits = text.rstrip("=")
    padding = "=" * (-len(digits) % 4)
    try:
        if text not in (digits, digits + padding):
            raise ValueError
        return a2b_base64(digits + padding, strict_mode=True)
    except ValueError:
        shown = value["b64"] if len(value["b64"]) <= 40 else value["b64"][:40] + "..."
        raise InvalidInput(f"{where} is {shown!r}, which is not base64") from None


def _with_bytes(value: Any, name: str, position: tuple[int, ...]) -> Any:
    if isinstance(value, list):
        if len(position) > MAX_RANK:
            raise InvalidInput(f"input {name!r} is nested deeper than {MAX_RANK} lists")
        return [_with_bytes(item, name, (*position, index)) for index, item in enumerate(value)]
    if is_base64(value):
        return bytes_from_base64(value, f"'b64' of input {name!r}{f' at {list(position)}' if position else ''}")
    return value


def _named_as_tensorflow_does(error: InvalidInput, text: bytes | Span, dtype: np.dtype[Any]) -> InvalidInput:
    """``error`` with the message that clients of TensorFlow Serving search for where a value has the wrong type."""
    fitting = _TYPES_OF_KIND[kind_of(dtype)]
    for leaf in _leaves(decode(bytes(text), Any)) if len(text) <= MANAGEABLE else ():
        if type(leaf) not in fitting:
            json_type = _JSON_TYPES.get(type(leaf), "Null")
            return InvalidInput(f"{error}; a JSON {json_type} is not of expected type: {type_name(dtype)}")
    return error


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        first = waiting.pop()
        if isinstance(first, list):
            waiting.extend(reversed(first))
        else:
            yield first
