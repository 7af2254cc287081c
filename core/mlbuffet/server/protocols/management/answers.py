"""The JSON of responses."""

from http import HTTPStatus
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import orjson
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.description import SignatureDescription
from mlbuffet.server.http.errors import Handler, json_response
from mlbuffet.server.http.route_path import route_path


class Status(TypedDict):
    """The status of the answer, once more."""

    code: int
    name: str
    description: str


class Answer(TypedDict):
    """That it was done."""

    http_status: Status


class Welcome(Answer):
    """That the server answers; KServe's client for v1 asks for `status`."""

    status: Literal["alive"]


class ModelList(Answer):
    """The names of all models."""

    model_list: list[str]


class Changed(Answer):
    """Which version was added, chosen or removed."""

    version: int


class VersionInformation(TypedDict):
    """One version: where it lies below the folder of models, and what was told when it was uploaded."""

    path: str
    file: str
    time: str
    description: str
    ml_library: str
    library_version: str
    options: dict[str, Any]
    signatures: NotRequired[
        Annotated[dict[str, SignatureDescription], Meta(description="By name, of a version that is ready.")]
    ]
    reason: NotRequired[
        Annotated[str, Meta(description="Why it is not ready, or why its older content is served and not the new one.")]
    ]


class ModelInformation(Answer):
    """All versions of a model that are on disk, by their numbers."""

    tag_list_versions: dict[str, VersionInformation]
    default_version: int


class Prediction(Answer):
    """The values of the only output, or of all by name."""

    values: Any


def status(code: int, description: str) -> Status:
    """``code`` with its name."""
    known = HTTPStatus(code)
    return Status(code=code, name=known.phrase, description=description)


def response(description: str, code: int = 200, **members: object) -> Response:
    """``members`` below the status and its ``description``."""
    return json_response({"http_status": status(code, description), **members}, code)


def with_status(handler: Handler) -> Handler:
    """``handler``, whose responses have ``http_status`` beside ``error`` where the path is one below /api."""

    async def handle(request: Request, error: Exception) -> Response:
        plain = await handler(request, error)
        if not route_path(request.scope).startswith("/api/"):
            return plain
        members: dict[str, Any] = orjson.loads(plain.body)
        with_code = response(members["error"], plain.status_code, **members)
        return Response(with_code.body, plain.status_code, {**plain.headers, **with_code.headers})

    return handle
