"""One request and its answer, as logs and metrics tell of it."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits

from mlbuffet.running import REQUEST_IDS

REQUEST_ID_HEADER = "X-Request-Id"
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_HEADER_NAME = REQUEST_ID_HEADER.lower().encode()
_PROTOCOLS = {"v2": "v2", "v1": "v1", "api": "api"}

_current: "ContextVar[RequestContext | None]" = ContextVar("context", default=None)


@dataclass(slots=True)
class RequestContext:
    """What is known of a request so far."""

    request_id: bytes
    protocol: str
    status: int = 0
    """0 while there is no answer."""
    model: str = ""
    version: int = 0
    """Of no meaning without a model."""


def begin_request(path: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestContext:
    """The context that begins in this task, with the client's id for it where that is fit for a log."""
    context = RequestContext(id_in(headers) or new_id(), protocol_of(path))
    _current.set(context)
    REQUEST_IDS.set(context.request_id)
    return context


def new_id() -> bytes:
    """An id for a request."""
    return b"%016x" % getrandbits(64)


def request_id() -> str:
    """The id of the request that this task or thread works for; empty where there is none."""
    context = _current.get()
    return context.request_id.decode() if context else ""


def note_version(model: str, version: int) -> None:
    """Let logs and metrics know that the request of this task is for that version of a model."""
    context = _current.get()
    if context is not None:
        context.model, context.version = model, version


def protocol_of(path: str) -> str:
    """Which protocol has ``path``; "other" for what belongs to none, such as documentation."""
    return _PROTOCOLS.get(path[1:].partition("/")[0].lower(), "other")


def id_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The client's id for its request, if there is one and it is fit for a log."""
    for name, value in headers:
        if name == _HEADER_NAME:
            return value if _SANE.fullmatch(value) else None
    return None
