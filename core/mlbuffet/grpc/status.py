"""Errors as status codes of gRPC."""

import logging
from typing import NamedTuple

from grpc import StatusCode

from mlbuffet import errors
from mlbuffet.errors import InvalidInput, MLBuffetError, ModelNotReady
from mlbuffet.message_text import LONGEST_MESSAGE, one_line, short

CODES: dict[type[MLBuffetError], StatusCode] = {
    InvalidInput: StatusCode.INVALID_ARGUMENT,
    errors.LoadFailed: StatusCode.FAILED_PRECONDITION,
    errors.NoRuntime: StatusCode.FAILED_PRECONDITION,
    errors.AmbiguousRuntime: StatusCode.FAILED_PRECONDITION,
    errors.ArtifactNotFound: StatusCode.FAILED_PRECONDITION,
    errors.ArtifactUnreadable: StatusCode.FAILED_PRECONDITION,
    errors.InvalidConfiguration: StatusCode.FAILED_PRECONDITION,
    errors.InvalidOptions: StatusCode.FAILED_PRECONDITION,
    errors.DuplicateModel: StatusCode.FAILED_PRECONDITION,
    errors.ModelNotFound: StatusCode.NOT_FOUND,
    errors.PredictFailed: StatusCode.INTERNAL,
    ModelNotReady: StatusCode.UNAVAILABLE,
    errors.ModelClosed: StatusCode.UNAVAILABLE,
    errors.ProcessCrashed: StatusCode.UNAVAILABLE,
    errors.Overloaded: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.NotAuthenticated: StatusCode.UNAUTHENTICATED,
    errors.NotPermitted: StatusCode.PERMISSION_DENIED,
    errors.NotChangeable: StatusCode.FAILED_PRECONDITION,
    errors.StorageFailed: StatusCode.INTERNAL,
    errors.StorageFull: StatusCode.RESOURCE_EXHAUSTED,
}
RETRY_SECONDS = 1
_LONGEST_ENCODED = 4 * 1024
"""Bytes of a message as it travels: clients of gRPC refuse trailers of 8 KiB and more."""

logger = logging.getLogger("mlbuffet.grpc.errors")


class Status(NamedTuple):
    """How a call ended that failed."""

    code: StatusCode
    message: str
    retry_after: float | None = None
    """In how many seconds the call may succeed; ``None`` where nobody knows."""


def status_of(error: Exception, method: str, version: tuple[str, int] = ("", 0)) -> Status:
    """The status of ``error`` with its public message; what a client may not see goes to the log.

    ``version`` is the model that was called, and its number, if that is known.
    """
    if version[0]:
        method = f"{method}, version {version[1]} of the model {version[0]!r}"
    if not isinstance(error, MLBuffetError):
        logger.error("%s failed", method, exc_info=error)
        return Status(StatusCode.INTERNAL, "internal error; the server's log has the cause")
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), StatusCode.INTERNAL)
    if code is StatusCode.INTERNAL or (isinstance(error, InvalidInput) and error.detail):
        line = one_line(f"{method}: {error}")
        logger.warning("%s", line, exc_info=error if logger.isEnabledFor(logging.DEBUG) else None)
    return Status(code, _fit_for_trailers(error.public), _retry_after(error, code))


def _retry_after(error: MLBuffetError, code: StatusCode) -> float | None:
    if isinstance(error, ModelNotReady):
        return error.retry_after
    return RETRY_SECONDS if code is StatusCode.UNAVAILABLE else None


def _fit_for_trailers(message: str) -> str:
    """``message`` without its middle where it is too long; bytes that are not ASCII take three."""
    message = short(message, LONGEST_MESSAGE).encode(errors="replace").decode()
    while not message.isascii() and 3 * len(message.encode()) > _LONGEST_ENCODED:
        message = short(message, len(message) // 2)
    return message
