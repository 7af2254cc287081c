"""Receiving an upload into the staging folder, piece by piece."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mlbuffet.errors import InvalidInput, UploadTooLarge
from mlbuffet.repository import Provenance, Upload
from mlbuffet.server.http.body import announced_length, arriving
from mlbuffet.server.protocols.management.multipart import CONTENT_TYPE, MAX_FIELD_BYTES, Form, is_form
from mlbuffet.server.settings import ServerSettings

FILE_FIELD = "path"
_PIECE = 2**20


async def receive_form(request: Request, upload: Upload, settings: ServerSettings) -> Provenance:
    """Receive the file of a form. Raises as `body.read_body` does, `InvalidInput`, and `UploadTooLarge`."""
    if not is_form(request.headers.get("content-type", "")):
        raise HTTPException(
            415, f"a model is sent as {CONTENT_TYPE}, its file in the field {FILE_FIELD!r}; or with PUT"
        )
    form = Form(request.headers["content-type"], [FILE_FIELD], upload.write)
    async for piece in _pieces(request, settings):
        await run_sync(form.feed, piece)
    form.end()
    return _provenance(form.file_name or "", form.text("model_description"), form.text("library_version"))


async def receive_file(request: Request, upload: Upload, settings: ServerSettings) -> Provenance:
    """Receive the body as the file; the query has the rest. Raises as `receive_form` does."""
    query = request.query_params
    if not query.get("filename"):
        raise InvalidInput("the query does not say what the file is called, such as ?filename=iris.onnx")
    async for piece in _pieces(request, settings):
        await run_sync(upload.write, piece)
    return _provenance(query["filename"], query.get("model_description", ""), query.get("library_version", ""))


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


def _provenance(file: str, description: str, library_version: str) -> Provenance:
    name = file.replace("\\", "/").rpartition("/")[2]
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(file=name[:255], time=time, description=description, library_version=library_version)
