"""What each endpoint below /api/v1 reads and answers."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta
from starlette.routing import Route

from mlbuffet.repository.names import MODEL_NAME
from mlbuffet.server.http.openapi import Operation, Protocol, Schema
from mlbuffet.server.protocols.management import answers
from mlbuffet.server.protocols.management.endpoints import DefaultRequest, Management
from mlbuffet.server.protocols.management.multipart import CONTENT_TYPE
from mlbuffet.server.protocols.management.prediction import DEFAULT, PredictionRequest
from mlbuffet.server.protocols.management.uploads import FIELDS, FILE_NAME
from mlbuffet.version_numbers import PATTERN

_CHANGES = (401, 403, 409, 500, 507)
_UPLOADS = (400, 408, 413, 415, 422, *_CHANGES)
_FILE: Schema = {"type": "string", "format": "binary"}
_BINARY = Annotated[str, Meta(extra_json_schema={"format": "binary"})]
_FORM: Schema = {
    "type": "object",
    "required": ["path"],
    "properties": {"path": _FILE, **{field: {"type": "string"} for field in FIELDS}},
    "additionalProperties": False,
}
_IMAGE: Schema = {
    "type": "object",
    "required": ["path"],
    "properties": {"path": _FILE, "parameters": {"type": "string", "description": "A JSON object."}},
}

OPERATIONS = {
    Management.welcome: Operation(answers.Welcome),
    Management.test: Operation(answers.Answer),
    Management.help: Operation(str, media_type="text/plain"),
    Management.models: Operation(answers.ModelList),
    Management.information: Operation(answers.ModelInformation, errors=(404, 409)),
    Management.download: Operation(_BINARY, media_type="application/octet-stream", errors=(400, 404, 409)),
    Management.download_model: Operation(_BINARY, media_type="application/octet-stream", errors=(400, 404, 409)),
    Management.choose: Operation(
        answers.Changed, DefaultRequest, example={"default": 1}, errors=(400, 404, 422, *_CHANGES)
    ),
    Management.predict: Operation(
        answers.Prediction,
        PredictionRequest,
        example={"values": [1.0, 2.0, 5.0]},
        other_bodies={CONTENT_TYPE: _IMAGE},
        errors=(400, 404, 422, 500, 503, 504),
    ),
    Management.upload: Operation(answers.Changed, status=201, other_bodies={CONTENT_TYPE: _FORM}, errors=_UPLOADS),
    Management.upload_raw: Operation(
        answers.Changed,
        status=201,
        other_bodies={"application/octet-stream": _FILE},
        query={FILE_NAME: True, **dict.fromkeys(FIELDS, False)},
        errors=_UPLOADS,
    ),
    Management.remove: Operation(answers.Changed, errors=(400, 404, *_CHANGES)),
}


def protocol(routes: Sequence[Route]) -> Protocol:
    """The API as OpenAPI describes it."""
    tag = f"{MODEL_NAME.pattern}(:({DEFAULT}|{PATTERN}))?"
    patterns = {"name": MODEL_NAME.pattern, "tag": tag}
    return Protocol("MLBuffet", routes, OPERATIONS, patterns)
