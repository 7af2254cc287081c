"""OpenAPI 3.1, from the routes and the types that they read and write."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.routing import Route

from mlbuffet.server.http.errors import ErrorAnswer

Schema = dict[str, Any]

_MEANINGS = {
    400: "The request is wrong; the error says where.",
    401: "The server wants its token.",
    403: "This server does not let clients do so.",
    404: "There is no such model or version.",
    408: "The body did not arrive in time.",
    409: "What is asked for cannot be changed here.",
    413: "The body is too large.",
    415: "The content type or encoding is not known.",
    422: "The model cannot be loaded, or what was sent does not fit it.",
    500: "The model failed.",
    503: "Not ready; the error says why.",
    504: "The model did not answer in time.",
    507: "There is no room left to store it.",
}
_OF_BODIES = (400, 408, 413, 415)
_LENGTH = {"description": "How many bytes are JSON, before raw buffers.", "schema": {"type": "integer", "minimum": 0}}
_BUFFERS = {"schema": {"type": "string", "format": "binary"}}


@dataclass(frozen=True, slots=True)
class Operation:
    """The request and response bodies of an endpoint, as the types of its codec.

    ``errors`` are statuses besides those of any request with a body. With ``optional`` the body may be empty.
    ``length_header`` names the header with the length of the JSON, where raw buffers may follow, both ways.
    ``other_bodies`` are request bodies other than JSON, by media type; ``query`` are the query's parameters, each with
    whether it is required.
    """

    answer: Any
    body: Any = None
    _: KW_ONLY
    example: Any = None
    optional: bool = False
    length_header: str | None = None
    media_type: str = "application/json"
    status: int = 200
    other_bodies: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, bool] = field(default_factory=dict)
    errors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """Routes, the operation of each endpoint, and the pattern of each parameter in their paths."""

    title: str
    routes: Sequence[Route]
    operations: Mapping[Callable[..., Any], Operation]
    parameters: Mapping[str, str]


def describe(protocols: Sequence[Protocol], version: str) -> Schema:
    """The document. Raises ``KeyError`` for an endpoint without operation, and for a parameter without pattern."""
    operations = [operation for protocol in protocols for operation in protocol.operations.values()]
    kinds = [ErrorAnswer, *(kind for one in operations for kind in (one.answer, one.body) if kind is not None)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for component in components.values():
        component["description"] = _markdown(component["description"])
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for protocol in protocols:
        for route in protocol.routes:
            path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
            for method in sorted((route.methods or set()) - {"HEAD"}):  # HTTP itself says that GET has it
                if route.include_in_schema:
                    operation = _operation(protocol, route, method.lower(), path, schema_of)
                    paths.setdefault(path, {})[method.lower()] = operation
    error = {"application/json": {"schema": schema_of[ErrorAnswer]}}
    responses = {str(status): {"description": text, "content": error} for status, text in _MEANINGS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "MLBuffet", "version": version, "description": "Trained models over HTTP."},
        "tags": [{"name": protocol.title} for protocol in protocols],
        "paths": paths,
        "components": {"schemas": components, "responses": responses},
    }


def _operation(protocol: Protocol, route: Route, method: str, path: str, schema_of: Mapping[Any, Schema]) -> Schema:
    operation = protocol.operations[getattr(route.endpoint, "__func__", route.endpoint)]
    text = _markdown(inspect.getdoc(route.endpoint) or "")
    parameters: list[Schema] = []
    for name in re.findall(r"{(\w+)}", path):
        schema = {"type": "string", "pattern": f"^{protocol.parameters[name]}$"}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    for name, required in operation.query.items():
        parameters.append({"name": name, "in": "query", "required": required, "schema": {"type": "string"}})
    response: Schema = {
        "description": HTTPStatus(operation.status).phrase,
        "content": {operation.media_type: {"schema": schema_of[operation.answer]}},
    }
    if operation.length_header:
        parameters.append({"name": operation.length_header, "in": "header", **_LENGTH})
        response["content"]["application/octet-stream"] = _BUFFERS
        response["headers"] = {operation.length_header: _LENGTH}
    described: Schema = {
        "tags": [protocol.title],
        "operationId": re.sub(r"\W+", "_", f"{method}{path}"),
        "summary": text.partition("\n")[0].rstrip("."),
        "description": text,
        "parameters": parameters,
        "responses": {str(operation.status): response},
    }
    if operation.body is not None or operation.other_bodies:
        described["requestBody"] = _body(operation, schema_of)
    for status in sorted({*operation.errors, *(_OF_BODIES if operation.body is not None else ())}):
        described["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    return described


def _body(operation: Operation, schema_of: Mapping[Any, Schema]) -> Schema:
    content: Schema = {media_type: {"schema": schema} for media_type, schema in operation.other_bodies.items()}
    if operation.body is not None:
        content["application/json"] = {"schema": schema_of[operation.body]}
    if operation.example is not None:
        content["application/json"]["example"] = operation.example
    if operation.length_header:
        content["application/octet-stream"] = _BUFFERS
    return {"required": not operation.optional, "content": content}


def _markdown(docstring: str) -> str:
    return docstring.replace("``", "`")
