"""Predict requests, in rows or in columns: JSON to named arrays."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeGuard

import msgspec
from msgspec import UNSET, Meta, Raw
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput, UnknownSignature
from mlbuffet.json_tensors.outline import TextOf, read_outlined
from mlbuffet.json_tensors.span import Span
from mlbuffet.json_tensors.text import decode, decode_outline
from mlbuffet.server.http.duplicate_names import refuse_duplicate_names
from mlbuffet.server.protocols.tensorflow_serving.values import array_from_json, refuse_many_objects
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signatures, Tensors, TensorSpec, only_input, specs_text

Specs = Mapping[str, TensorSpec]
Named: TypeAlias = dict[str, Raw]
_PARAMETERS = "Those that the signature declares, by name; ignored where it declares none."
Element: TypeAlias = Named | list[Any] | str | float | bool | None


class PredictRequest(msgspec.Struct):
    """The JSON of a request; members that are not known are let through, and ``null`` is not absent."""

    signature_name: Annotated[Any, Meta(extra_json_schema={"type": ["string", "null"]})] = UNSET
    instances: Annotated[Raw, Meta(extra_json_schema={"type": "array", "minItems": 1})] = msgspec.field(
        default_factory=Raw
    )
    inputs: Raw = msgspec.field(default_factory=Raw)
    parameters: Annotated[Raw, Meta(description=_PARAMETERS, extra_json_schema={"type": ["object", "null"]})] = (
        msgspec.field(default_factory=Raw)
    )


class PredictCall(NamedTuple):
    """A decoded request; ``in_rows`` is its form, and that of the response."""

    signature: str
    inputs: Tensors
    in_rows: bool
    parameters: Mapping[str, Any] = MappingProxyType({})


def decode_predict(body: bytes, signatures: Signatures) -> PredictCall:
    """The call of ``body``. Raises `InvalidInput`, which names the place of the error."""
    return read_outlined(body, lambda text, text_of: _call(text, text_of, signatures))


def _call(text: bytes, text_of: TextOf, signatures: Signatures) -> PredictCall:
    request = decode_outline(text, PredictRequest)
    signature = named_signature(request.signature_name, signatures)
    declared = signatures[signature]
    parameters = _parameters(bytes(request.parameters)) if declared.parameters else None
    names = int(request.signature_name is not UNSET) + 1
    if parameters is not None:
        names += 1 + len(parameters)
    match bytes(request.instances), bytes(request.inputs):
        case rows, b"" if rows:
            elements = _rows(rows)
            _refuse_repeated_names(text, names, rows, elements)
            _, arrays = declared.first_that(lambda variant: _arrays_of_rows(text_of, rows, elements, variant.inputs))
            return PredictCall(signature, arrays, in_rows=True, parameters=parameters or {})
        case b"", columns if columns:
            named = decode(columns, Named) if columns.startswith(b"{") else None
            _refuse_repeated_names(text, names, columns, [named])
            _, arrays = declared.first_that(lambda variant: _arrays_of_columns(text_of, columns, named, variant.inputs))
            return PredictCall(signature, arrays, in_rows=False, parameters=parameters or {})
        case b"", b"":
            raise InvalidInput("the request has neither 'instances' (rows) nor 'inputs' (columns); send one of them")
    raise InvalidInput("the request has both 'instances' (rows) and 'inputs' (columns); send one of them")


def _parameters(text: bytes) -> dict[str, Any] | None:
    """Those of a call; ``None`` where it has none. Raises `InvalidInput`."""
    if text in (b"", b"null"):
        return None
    if not text.startswith(b"{"):
        raise InvalidInput("'parameters' is no object; it has the values of the model's parameters by name")
    return decode(text, dict[str, Any])


def _rows(text: bytes) -> list[Element]:
    """The rows, where there is an object among them; otherwise none, as they are then read as one array."""
    if not text.startswith(b"["):
        raise InvalidInput("'instances' is not a list; it must be one, with an element for each row")
    if not text[1:-1].strip():
        raise InvalidInput("'instances' is empty; it has an element for each row, and at least one")
    if b"{" not in text:
        return []
    refuse_many_objects(text, "'instances'")
    return decode(text, list[Element])


def _refuse_repeated_names(body: bytes, names: int, text: bytes, elements: list[Any]) -> None:
    objects = [one for one in elements if isinstance(one, dict)]
    values = [bytes(value) for one in objects for value in one.values()] if len(body) > len(objects) * 1024 else []
    refuse_duplicate_names(body, names + sum(map(len, objects)), [text, *values])


def _arrays_of_rows(text_of: TextOf, text: bytes, rows: list[Element], specs: Specs) -> dict[str, NDArray[Any]]:
    first = rows[0] if rows else None
    if not _is_named(first):
        return _only_input(text_of(text), specs, "'instances' is a list of values")
    named: list[Named] = []
    for index, row in enumerate(rows):
        if not _is_named(row):
            raise InvalidInput(f"row {index} of 'instances' is no object of named values, and row 0 is one")
        _check_names(row, specs, f"row {index} of 'instances'")
        if row.keys() != first.keys():
            name = min(row.keys() ^ first.keys())
            raise InvalidInput(f"input {name!r} is in some rows of 'instances' only; it is in all of them, or in none")
        named.append(row)
    given = {name: spec for name, spec in specs.items() if name in first}
    columns = {name: b"[%b]" % b",".join([bytes(text_of(row[name])) for row in named]) for name in given}
    return {name: array_from_json(columns[name], spec) for name, spec in given.items()}


def _arrays_of_columns(text_of: TextOf, text: bytes, named: Named | None, specs: Specs) -> dict[str, NDArray[Any]]:
    if not _is_named(named):
        return _only_input(text_of(text), specs, "'inputs' is a value")
    _check_names(named, specs, "'inputs'")
    return {name: array_from_json(text_of(named[name]), spec) for name, spec in specs.items() if name in named}


def _is_named(value: Element) -> TypeGuard[Named]:
    """Whether a value is an object of named values, not bytes."""
    return isinstance(value, dict) and not (value.keys() == {"b64"} and bytes(value["b64"]).startswith(b'"'))


def _only_input(text: bytes | Span, specs: Specs, what: str) -> dict[str, NDArray[Any]]:
    spec = only_input(specs)
    if spec is None:
        raise InvalidInput(f"{what} without names, and the model takes {specs_text(specs)}; send objects by name")
    return {spec.name: array_from_json(text, spec)}


def _check_names(names: Iterable[str], specs: Specs, where: str) -> None:
    given = set(names)
    if missing := [name for name, spec in specs.items() if name not in given and not spec.optional]:
        raise InvalidInput(f"{where} lacks the input {missing[0]!r}; the model takes {specs_text(specs)}")
    if unknown := given - specs.keys():
        raise InvalidInput(f"{where}: there is no input {min(unknown)!r}; the model takes {specs_text(specs)}")


def named_signature(name: Any, signatures: Signatures) -> str:
    """The signature called ``name``, the default if that is not set, null or empty; else `InvalidInput`."""
    if name is UNSET or name == "":
        name = None
    elif name is not None and not isinstance(name, str):
        raise InvalidInput("'signature_name' key must be a string value.")
    try:
        return signatures.resolve(name)
    except UnknownSignature as error:
        wanted = DEFAULT_SIGNATURE if name is None else name
        raise InvalidInput(f'Serving signature name: "{wanted}" not found in signature def: {error}') from None
