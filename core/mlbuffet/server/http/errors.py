"""Errors as HTTP answers; coroutines, because Starlette runs plain functions in the threads that predictions fill."""

import logging
import math
from http import HTTPStatus
from typing import TypedDict

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.errors import (
    AmbiguousRuntime,
    ArtifactNotFound,
    ArtifactUnreadable,
    DeadlineExceeded,
    DuplicateModel,
    InvalidConfiguration,
    InvalidInput,
    InvalidOptions,
    LoadFailed,
    MLBuffetError,
    ModelClosed,
    ModelNotFound,
    ModelNotReady,
    NoRuntime,
    NotChangeable,
    Overloaded,
    PredictFailed,
    StorageFailed,
    StorageFull,
    UploadRefused,
    UploadTooLarge,
)

STATUS: dict[type[MLBuffetError], int] = {
    InvalidInput: 400,
    LoadFailed: 422,
    NoRuntime: 422,
    AmbiguousRuntime: 422,
    ArtifactNotFound: 422,
    ArtifactUnreadable: 422,
    InvalidConfiguration: 422,
    InvalidOptions: 422,
    DuplicateModel: 422,
    ModelNotFound: 404,
    PredictFailed: 500,
    ModelNotReady: 503,
    ModelClosed: 503,
    Overloaded: 503,
    DeadlineExceeded: 504,
    UploadRefused: 422,
    UploadTooLarge: 413,
    NotChangeable: 409,
    StorageFailed: 500,
    StorageFull: 507,
}

CLIENT_CLOSED_REQUEST = 499  # nginx's, which HTTP has no word for
RETRY_SECONDS = 1
LONGEST_MESSAGE = 1000
LONGEST_LINE = 10_000

logger = logging.getLogger("mlbuffet.server.errors")  # a name that logs are filtered by stays


class ErrorAnswer(TypedDict):
    """Why there is no answer."""

    error: str


async def answer_mlbuffet_error(request: Request, error: Exception) -> Response:
    """The status of ``error`` and its public message; what a client may not see goes to the log.

    It is one line with the model's address, for whoever sends such requests decides how many there are; at DEBUG the
    traceback follows.
    """
    assert isinstance(error, MLBuffetError)
    status = STATUS.get(type(error)) or next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status in (500, 507) or (isinstance(error, InvalidInput) and error.detail):
        line = _one_line(f"{request.method} {request.url.path}: {error}")
        logger.warning("%s", line, exc_info=error if logger.isEnabledFor(logging.DEBUG) else None)
    seconds = error.retry_after if isinstance(error, ModelNotReady) else RETRY_SECONDS
    return error_response(status, error.public, seconds)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What HTTP itself refuses: no route, not with this method, a body that is too large."""
    assert isinstance(error, HTTPException)
    plain = error.detail == HTTPStatus(error.status_code).phrase
    message = f"{request.method} {request.url.path}: {error.detail.lower()}" if plain else error.detail
    response = error_response(error.status_code, message)
    response.headers.update(error.headers or {})
    return response


async def answer_nobody(request: Request, error: Exception) -> Response:
    """What is left to say once the client has closed its connection; it goes nowhere."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def answer_defect(request: Request, error: Exception) -> Response:
    """An exception that nobody foresaw; Starlette raises it again, and so it reaches the log."""
    return error_response(500, "internal error; the server's log has the cause")


def error_response(status: int, message: str, retry_after: float | None = RETRY_SECONDS) -> Response:
    """``{"error": message}``, the form that clients of /v2 and /v1 read; 503 says when to ask again, if ever."""
    headers = None
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None:
        headers = {"Retry-After": str(math.ceil(retry_after))}
    answer = ErrorAnswer(error=_short(message, LONGEST_MESSAGE))
    return Response(orjson.dumps(answer), status, headers, media_type="application/json")


def _one_line(text: str) -> str:
    """``text`` fit for a log: texts of frameworks have many lines, and may repeat what a client sent."""
    words = _short(" ".join(text.split()), LONGEST_LINE)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)


def _short(message: str, most: int) -> str:
    """``message``, which may repeat what a client sent, without its middle where it is longer than ``most``."""
    if len(message) <= most:
        return message
    half = most // 2
    return f"{message[:half]} ... {message[-half:]}"
