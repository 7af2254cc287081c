"""What logs and metrics show of a request."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits

from starlette.types import Scope

from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.server.http.route_path import route_path

REQUEST_ID = b"x-request-id"
"""The header with the id of a request."""
CONTEXT = "mlbuffet.context"
"""The key of a `RequestContext` in the scope of its request."""
_VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

_current: "ContextVar[RequestContext | None]" = ContextVar("context", default=None)


@dataclass(slots=True)
class RequestContext:
    """What is known of a request so far."""

    request_id: bytes
    protocol: str
    status: int = 0
    """0 until the response begins."""
    version: tuple[str, int] = "", 0
    """The model that a prediction is for, and the number of its version; the name is empty where there is none."""


def begin_request(scope: Scope) -> RequestContext:
    """The context of the request that this task handles, with the client's id for it where that is valid.

    The protocol is "other" where the path belongs to none, such as that of the documentation.
    """
    path = route_path(scope) if scope.get("root_path") else scope["path"]
    root = path[1:].partition("/")[0].lower()
    context = RequestContext(id_in(scope["headers"]) or new_id(), root if root in ("v2", "v1", "api") else "other")
    scope[CONTEXT] = context
    _current.set(context)
    REQUEST_IDS.set(context.request_id)
    return context


def new_id() -> bytes:
    """An id for a request."""
    return b"%016x" % getrandbits(64)


def request_id() -> str:
    """The id of the request that this task or thread handles; empty where there is none."""
    context = _current.get()
    return context.request_id.decode() if context else ""


def id_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The client's id for its request, if there is one that can be logged as it is."""
    given = next((value for name, value in headers if name == REQUEST_ID), b"")
    return given if _VALID_ID.fullmatch(given) else None
