"""Errors as HTTP responses; coroutines, because Starlette runs plain functions in the threads that predictions use."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias, TypedDict

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet import errors
from mlbuffet.errors import InvalidInput, MLBuffetError, ModelNotReady
from mlbuffet.message_text import LONGEST_MESSAGE, one_line, short

STATUS: dict[type[MLBuffetError], int] = {
    InvalidInput: 400,
    errors.LoadFailed: 422,
    errors.NoRuntime: 422,
    errors.AmbiguousRuntime: 422,
    errors.ArtifactNotFound: 422,
    errors.ArtifactUnreadable: 422,
    errors.InvalidConfiguration: 422,
    errors.InvalidOptions: 422,
    errors.DuplicateModel: 422,
    errors.ModelNotFound: 404,
    errors.PredictFailed: 500,
    ModelNotReady: 503,
    errors.ModelClosed: 503,
    errors.ProcessCrashed: 503,
    errors.Overloaded: 503,
    errors.DeadlineExceeded: 504,
    errors.UploadRefused: 422,
    errors.UploadTooLarge: 413,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 403,
    errors.NotChangeable: 409,
    errors.StorageFailed: 500,
    errors.StorageFull: 507,
}

CLIENT_CLOSED_REQUEST = 499  # nginx's, which HTTP has no word for
RETRY_SECONDS = 1

logger = logging.getLogger("mlbuffet.server.errors")


Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]


class ErrorAnswer(TypedDict):
    """Why there is no answer."""

    error: str


async def answer_mlbuffet_error(request: Request, error: Exception) -> Response:
    """The status of ``error`` and its public message; what a client may not see goes to the log.

    The log gets one line, because clients decide how often it is written; at DEBUG the traceback follows.
    """
    assert isinstance(error, MLBuffetError)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status in (500, 507) or (isinstance(error, InvalidInput) and error.detail):
        line = one_line(f"{request.method} {request.url.path}: {error}")
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
    """The response to a client that has closed its connection; it is not sent."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def answer_defect(request: Request, error: Exception) -> Response:
    """An unexpected exception; Starlette raises it again, so that it is logged."""
    return error_response(500, "internal error; the server's log has the cause")


def error_response(status: int, message: str, retry_after: float | None = RETRY_SECONDS) -> Response:
    """``{"error": message}``, the form that clients of /v2 and /v1 read; 503 says when to retry, if that is of use."""
    headers = None
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None:
        headers = {"Retry-After": str(math.ceil(retry_after))}
    return json_response(ErrorAnswer(error=short(message, LONGEST_MESSAGE)), status, headers)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``content`` as JSON."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
