"""What logs and metrics show of a request."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from random import getrandbits

import msgspec

from mlbuffet.running_calls import REQUEST_IDS

REQUEST_ID = b"x-request-id"
"""The header with the id of a request."""
_VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")

_current: "ContextVar[RequestContext | None]" = ContextVar("context", default=None)


class RequestContext(msgspec.Struct):
    """What is known of a request so far."""

    request_id: bytes
    protocol: str
    status: int = 0
    """Of HTTP; 0 until the response begins."""
    version: tuple[str, int] = "", 0
    """The model that a prediction is for, and the number of its version; the name is empty where there is none."""


def begin(protocol: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestContext:
    """The context of the request that this task handles, with the client's id for it where that is valid."""
    context = RequestContext(id_in(headers) or new_id(), protocol)
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
    for name, value in headers:
        if name == REQUEST_ID:
            return value if _VALID_ID.fullmatch(value) else None
    return None
