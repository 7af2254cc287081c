"""Predictions answered in the moment in which their last byte comes, without a task and without the application.

This way go requests of which nothing has to wait: the body is small and whole, the model is loaded and quick. Each
check is the endpoints' own. What is out of the ordinary goes to the application: unchanged where the model was not
called, and otherwise with the outcome, so that it is told, counted and logged in one place.
"""

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import Handle, ModelVersion
from mlbuffet.server.body import WORTH_COMPRESSING, compress
from mlbuffet.server.coding import LARGE, code
from mlbuffet.server.exchange import REQUEST_ID_HEADER, id_of
from mlbuffet.server.traffic import Traffic

_OUTCOME = "mlbuffet.outcome"
_OTHERWISE = {b"content-encoding", b"transfer-encoding", b"expect"}
_LENGTH = re.compile(rb"[0-9]{1,5}")

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What an endpoint answers at once."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)


class Unwritten(NamedTuple):
    """What an endpoint could answer at once, but for the size of the answer in bytes."""

    size: int
    write: Callable[[], Response]


class Prompt(NamedTuple):
    """An endpoint for requests at a path; neither of its functions waits."""

    protocol: str
    path: re.Pattern[str]
    find: Callable[[Request], ModelVersion]
    answer: Callable[[Handle, Request, bytes], Answer | Unwritten | None]
    """``None`` where the model is not to be called here; once it was called it answers or raises."""


async def take_outcome(request: Request) -> Response | None:
    """What came of a request before it reached the application, if it was tried; raises what it raised."""
    outcome: Response | Unwritten | Exception | None = request.scope.pop(_OUTCOME, None)
    if isinstance(outcome, Exception):
        raise outcome
    return await code(outcome.size, outcome.write) if isinstance(outcome, Unwritten) else outcome


def is_whole_soon(headers: Headers) -> bool:
    """Whether a request with these headers has a small body and asks for nothing special."""
    length = b""
    for name, value in headers:
        if name in _OTHERWISE or (name == b"connection" and value.lower() != b"keep-alive"):
            return False
        if name == b"content-length":
            length = value
    return _LENGTH.fullmatch(length) is not None and int(length) < LARGE


class AtOnce:
    """Answers for one application."""

    def __init__(self, prompts: Sequence[Prompt], traffic: Traffic, *, max_body: int) -> None:
        self._prompts = prompts
        self._traffic = traffic
        self._max_body = max_body
        self._server_headers: Headers = ()
        self._head = b""

    def answer(self, scope: Scope, path: str, body: bytes, server_headers: Headers) -> bytes | None:
        """The bytes of the answer; ``None`` for a request that the application is to have."""
        if len(body) > self._max_body:
            return None
        for prompt in self._prompts:
            if found := prompt.path.match(path):
                scope.update(method="POST", path=path, path_params=found.groupdict())
                return self._answered(prompt, Request(scope), body, server_headers)
        return None

    def _answered(self, prompt: Prompt, request: Request, body: bytes, server_headers: Headers) -> bytes | None:
        begin = perf_counter()
        try:
            handle = prompt.find(request).use()
        except (MLBuffetError, HTTPException):
            return None
        with handle:
            version = handle.version
            if version.configuration.cache is not None or not handle.scheduler.may_run_now:
                return None
            try:
                answer = prompt.answer(handle, request, body)
            except Exception as error:  # noqa: BLE001  the application tells of it
                request.scope[_OUTCOME] = error
                return None
        if isinstance(answer, Unwritten):
            request.scope[_OUTCOME] = answer
            return None
        if answer is None or _is_to_be_compressed(answer, request):
            return None
        self._traffic.count((prompt.protocol, version.name, version.version), 200, perf_counter() - begin)
        return self._written(answer, id_of(request.scope["headers"]), server_headers)

    def _written(self, answer: Answer, request_id: bytes, server_headers: Headers) -> bytes:
        if server_headers is not self._server_headers:  # they change once a second, with the date
            self._server_headers = server_headers
            self._head = b"".join([b"HTTP/1.1 200 OK\r\n", *(b"%b: %b\r\n" % one for one in server_headers)])
        own = "".join([f"{name}: {value}\r\n" for name, value in answer.headers]).encode("latin-1")
        return b"%b%b%b: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            self._head, own, REQUEST_ID_HEADER.lower().encode(), request_id, len(answer.body), answer.body,
        )  # fmt: skip


def _is_to_be_compressed(answer: Answer, request: Request) -> bool:
    if len(answer.body) < WORTH_COMPRESSING:
        return False
    plain = Response(answer.body, headers=dict(answer.headers))
    compressed = compress(plain, request)
    if compressed is not plain:
        request.scope[_OUTCOME] = compressed
    return compressed is not plain
