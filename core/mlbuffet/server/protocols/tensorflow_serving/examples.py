"""Classify and regress requests: JSON to serialized tf.Examples."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.json_tensors.text import decode
from mlbuffet.server.http.duplicate_names import refuse_duplicate_names
from mlbuffet.server.protocols.tensorflow_serving.example_message import Feature, encode_example
from mlbuffet.server.protocols.tensorflow_serving.requests import named_signature
from mlbuffet.server.protocols.tensorflow_serving.values import bytes_from_base64, is_base64, refuse_many_objects
from mlbuffet.tensors import Signatures

_TYPE_NAMES: dict[type, str] = {str: "text", list: "a list within a list", dict: "an object"}
_ABOVE_FLOATS = 2.0**128 - 2.0**103  # what is not smaller is rounded to infinity by a float32

MOST_BYTES = 64 * 2**20
"""Of the context in all examples of a request."""


class ExamplesRequest(msgspec.Struct):
    """The JSON of a request; members that are not known are let through."""

    signature_name: Annotated[Any, Meta(extra_json_schema={"type": ["string", "null"]})] = UNSET
    context: Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})] = UNSET
    examples: Annotated[Any, Meta(extra_json_schema={"type": "array", "items": {"type": "object"}, "minItems": 1})] = (
        UNSET
    )


def decode_examples(body: bytes, signatures: Signatures) -> tuple[str, NDArray[Any]]:
    """The signature that ``body`` names, and its serialized examples, shape [count].

    Raises `InvalidInput`, which names the place of the error.
    """
    refuse_many_objects(body, "the request")
    request = decode(body, ExamplesRequest)
    signature = named_signature(request.signature_name, signatures)
    _check_list(request.examples)
    given = [getattr(request, field) is not UNSET for field in request.__struct_fields__]
    objects = [one for one in (request.context, *request.examples) if isinstance(one, dict)]
    refuse_duplicate_names(body, sum(given) + sum(map(len, objects)), [])
    context = b"" if request.context in (UNSET, None) else encode_example(_features(request.context, "'context'"))
    examples = [_features(example, f"example {index}") for index, example in enumerate(request.examples)]
    _agree_on_floats(examples)
    return signature, with_context(context, [encode_example(example) for example in examples])


def with_context(context: bytes, examples: Sequence[bytes]) -> NDArray[Any]:
    """Serialized examples, each behind the ``context``, shape [count]. Raises `InvalidInput` where that is too much."""
    if len(context) * len(examples) > MOST_BYTES:
        raise InvalidInput(
            f"the context of {len(context)} bytes is for {len(examples)} examples; all of them together have "
            f"{MOST_BYTES} bytes at most: send fewer examples at once"
        )
    serialized = np.empty(len(examples), object)
    serialized[:] = [context + example for example in examples]
    return serialized


def _check_list(examples: Any) -> None:
    rule = "a list with one object of features or more"
    if examples is UNSET:
        raise InvalidInput(f"the request has no 'examples', {rule}")
    if not isinstance(examples, list) or not examples:
        what = "empty" if isinstance(examples, list) else _shown(examples)
        raise InvalidInput(f"'examples' is {what}; it must be {rule}")


def _features(example: Any, where: str) -> dict[str, Feature]:
    if not isinstance(example, dict):
        raise InvalidInput(f"{where} is no object of features; it must be one, such as {{'x': 1.0}}")
    return {name: _feature(value, f"feature {name!r} of {where}") for name, value in example.items()}


def _agree_on_floats(examples: Sequence[dict[str, Feature]]) -> None:
    """Where one example has a feature as floats, all have: JavaScript writes 2.0 as 2."""
    floats = {name for example in examples for name, values in example.items() if values and type(values[0]) is float}
    for example in examples:
        for name in floats & example.keys():
            if all(type(value) is int for value in example[name]):
                example[name] = [float(value) for value in example[name]]


def _feature(value: Any, where: str) -> Feature:
    """The values of a feature, all of one type: bytes, floats or integers, with bools among the integers.

    Where one number is a float, all are: JavaScript writes 2.0 as 2.
    """
    items = value if isinstance(value, list) else [value]
    if {type(item) for item in items} == {int, float}:
        try:
            items = [float(item) for item in items]
        except OverflowError:
            raise _out_of_range(where, "float32") from None
    values = [_element(item, where) for item in items]
    for item, element in zip(items, values, strict=True):
        if type(element) is not type(values[0]):
            raise InvalidInput(f"{where} mixes {_shown(items[0])} and {_shown(item)}; its values are of one type")
    return values


def _element(value: Any, where: str) -> Any:
    match value:
        case str():
            return value.encode()
        case dict() if is_base64(value):
            return bytes_from_base64(value, f"'b64' of {where}")
        case float() if not _ABOVE_FLOATS <= abs(value) < math.inf:
            return value
        case int() if -(2**63) <= value < 2**63:
            return int(value)
        case float() | int():
            raise _out_of_range(where, "float32" if isinstance(value, float) else "int64")
    raise InvalidInput(f"{where} holds {_shown(value)}; it takes numbers, text, true, false, and lists of them")


def _out_of_range(where: str, kind: str) -> InvalidInput:
    return InvalidInput(f"{where} holds a number that is out of the range of {kind}")


def _shown(value: Any) -> str:
    if is_base64(value):
        return "bytes"
    return _TYPE_NAMES.get(type(value)) or json.dumps(value)
