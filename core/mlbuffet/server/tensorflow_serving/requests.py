"""Predict requests, in rows or in columns: JSON to named arrays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.json_text import decode
from mlbuffet.server.tensorflow_serving.repeated import refuse_repeated_names
from mlbuffet.server.tensorflow_serving.signatures import named_signature
from mlbuffet.server.tensorflow_serving.values import array_from_json, is_base64
from mlbuffet.tensors import Signatures, Tensors, TensorSpec, specs_text

Specs = Mapping[str, TensorSpec]


class PredictRequest(msgspec.Struct):
    """The JSON of a request; members that are not known are let through, and ``null`` is not absent."""

    signature_name: Annotated[Any, Meta(extra_json_schema={"type": "string"})] = UNSET
    instances: Annotated[Any, Meta(extra_json_schema={"type": "array", "minItems": 1})] = UNSET
    inputs: Any = UNSET


@dataclass(frozen=True, slots=True)
class PredictCall:
    """What a request asks for; ``in_rows`` is the form in which it came and in which the answer goes."""

    signature: str
    inputs: Tensors
    in_rows: bool


def decode_predict(body: bytes, signatures: Signatures) -> PredictCall:
    """The call that ``body`` describes. Raises `InvalidInput`, which says what is wrong, and where."""
    request = decode(body, PredictRequest)
    signature = named_signature(request.signature_name, signatures)
    declared = signatures[signature]
    match request.instances is not UNSET, request.inputs is not UNSET:
        case True, False:
            rows = _checked_rows(request.instances)
            refuse_repeated_names(body, request, rows)
            _, arrays = declared.first_that(lambda variant: _arrays_of_rows(rows, variant.inputs))
            return PredictCall(signature, arrays, in_rows=True)
        case False, True:
            refuse_repeated_names(body, request, [request.inputs])
            _, arrays = declared.first_that(lambda variant: _arrays_of_columns(request.inputs, variant.inputs))
            return PredictCall(signature, arrays, in_rows=False)
        case True, True:
            raise InvalidInput("the request has both 'instances' (rows) and 'inputs' (columns); send one of them")
    raise InvalidInput("the request has neither 'instances' (rows) nor 'inputs' (columns); send one of them")


def _checked_rows(instances: Any) -> list[Any]:
    if not isinstance(instances, list):
        raise InvalidInput("'instances' is not a list; it has an element for each row")
    if not instances:
        raise InvalidInput("'instances' is empty; it has an element for each row, and at least one")
    return instances


def _arrays_of_rows(rows: list[Any], specs: Specs) -> dict[str, NDArray[Any]]:
    if not _is_named(rows[0]):
        spec = _only(specs, "'instances' is a list of values")
        return {spec.name: array_from_json(rows, spec)}
    for index, row in enumerate(rows):
        if not _is_named(row):
            raise InvalidInput(f"row {index} of 'instances' is no object of named values, and row 0 is one")
        _check_names(row, specs, f"row {index} of 'instances'")
    return {name: array_from_json([row[name] for row in rows], spec) for name, spec in specs.items()}


def _arrays_of_columns(inputs: Any, specs: Specs) -> dict[str, NDArray[Any]]:
    if not _is_named(inputs):
        spec = _only(specs, "'inputs' is a value")
        return {spec.name: array_from_json(inputs, spec)}
    _check_names(inputs, specs, "'inputs'")
    return {name: array_from_json(inputs[name], spec) for name, spec in specs.items()}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _only(specs: Specs, what: str) -> TensorSpec:
    """The only input of a signature: a value without a name is meant for it."""
    match list(specs.values()):
        case [spec]:
            return spec
        case _:
            raise InvalidInput(f"{what} without names, and the model takes {specs_text(specs)}; send objects by name")


def _check_names(names: Iterable[str], specs: Specs, where: str) -> None:
    given = set(names)
    if missing := [name for name in specs if name not in given]:
        raise InvalidInput(f"{where} lacks the input {missing[0]!r}; the model takes {specs_text(specs)}")
    if unknown := given - specs.keys():
        raise InvalidInput(f"{where}: there is no input {min(unknown)!r}; the model takes {specs_text(specs)}")
