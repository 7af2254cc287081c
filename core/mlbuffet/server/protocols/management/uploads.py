"""Receiving an upload into the staging folder, piece by piece."""

from collections.abc import AsyncIterator, Container, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mlbuffet.errors import InvalidInput, UploadRefused, UploadTooLarge
from mlbuffet.repository import Provenance, Upload
from mlbuffet.server.http.body import announced_length, arriving
from mlbuffet.server.http.duplicate_names import refuse_duplicate_names
from mlbuffet.server.protocols.management.multipart import CONTENT_TYPE, MAX_FIELD_BYTES, Form, is_form
from mlbuffet.server.settings import ServerSettings

FILE_FIELD = "path"
FILE_NAME = "filename"
FIELDS = ("model_description", "library_version", "runtime", "options")
"""What may be said of an upload."""
_PIECE = 2**20


async def receive_form(request: Request, upload: Upload, settings: ServerSettings) -> Provenance:
    """Receive the file of a form. Raises as `body.read_body` does, `InvalidInput`, and `UploadTooLarge`."""
    if not is_form(request.headers.get("content-type", "")):
        raise HTTPException(
            415, f"a model is sent as {CONTENT_TYPE}, its file in the field {FILE_FIELD!r}; or with PUT"
        )
    check = partial(_check_field, known=(FILE_FIELD, *FIELDS))
    form = Form(request.headers["content-type"], [FILE_FIELD], upload.write, check)
    async for piece in _pieces(request, settings):
        await run_sync(form.feed, piece)
    form.end()
    return _provenance(form.file_name or "", form.texts)


async def receive_file(request: Request, upload: Upload, settings: ServerSettings) -> Provenance:
    """Receive the body as the file; the query has the rest. Raises as `receive_form` does."""
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        _check_field(name, query, known=(FILE_NAME, *FIELDS))
        query[name] = value
    file_name = query.pop(FILE_NAME, "")
    if not file_name:
        raise InvalidInput("the query does not say what the file is called, such as ?filename=iris.onnx")
    async for piece in _pieces(request, settings):
        await run_sync(upload.write, piece)
    return _provenance(file_name, query)


async def _pieces(request: Request, settings: ServerSettings) -> AsyncIterator[bytes]:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "an upload is taken as it is, without a content encoding")
    if announced_length(request) > settings.max_upload + MAX_FIELD_BYTES:
        raise UploadTooLarge(settings.max_upload)
    gathered = bytearray()
    async for piece in arriving(request, settings.body_idle_seconds):
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _check_field(name: str, before: Container[str], *, known: Container[str]) -> None:
    """Nothing that a client says is ignored."""
    if name in before:
        raise UploadRefused(f"the field {name!r} of the upload is there twice")
    if name not in known:
        raise UploadRefused(f"an upload has no field {name[:40]!r}; besides its file there are {', '.join(FIELDS)}")


def _provenance(file: str, fields: Mapping[str, str]) -> Provenance:
    name = file.replace("\\", "/").rpartition("/")[2]
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(
        file=name[:255],
        time=time,
        description=fields.get("model_description", ""),
        library_version=fields.get("library_version", ""),
        runtime=fields.get("runtime") or None,
        options=_options(fields.get("options", "")),
    )


def _options(text: str) -> dict[str, Any]:
    try:
        options = msgspec.json.decode(text or "{}", type=dict[str, Any])
        refuse_duplicate_names(text.encode(), 0, ())
    except InvalidInput as error:
        raise UploadRefused(f"the field 'options' of the upload cannot be taken: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        what = 'an object in JSON, such as {"intra_op_threads": 1}'
        raise UploadRefused(f"the field 'options' of the upload is not {what}") from error
    return options
