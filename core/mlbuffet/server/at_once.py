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

from mlbuffet.errors import MLBuffetError, Overloaded
from mlbuffet.repository import Handle, ModelVersion
from mlbuffet.running import REQUEST_IDS
from mlbuffet.server.body import WORTH_COMPRESSING, compress
from mlbuffet.server.busy_poll import BusyPoll
from mlbuffet.server.coding import LARGE, code
from mlbuffet.server.counting.traffic import Traffic
from mlbuffet.server.errors import STATUS, error_response
from mlbuffet.server.exchange import REQUEST_ID_HEADER, id_in, new_id
from mlbuffet.server.heads import Head, Heads
from mlbuffet.server.outbox import Outbox

OUTCOME = "mlbuffet.outcome"
"""Under which name the state of a request holds its `Outcome`, where it has one."""

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_JSON: Headers = ((b"content-type", b"application/json"),)
_REQUEST_ID = REQUEST_ID_HEADER.lower().encode()


class Answer(NamedTuple):
    """What an endpoint answers at once."""

    body: bytes
    headers: Headers = _JSON
    """With names in small letters."""

    def as_response(self) -> Response:
        """The same for the application."""
        response = Response(self.body)
        response.raw_headers += self.headers
        return response


class Unwritten(NamedTuple):
    """What an endpoint could answer at once, but for the size of the answer in bytes."""

    size: int
    write: Callable[[], Response]


Outcome: TypeAlias = Response | Unwritten | Exception


class Prompt(NamedTuple):
    """An endpoint for requests at a path; none of its functions waits."""

    protocol: str
    path: re.Pattern[str]
    find: Callable[[Request], ModelVersion]
    check_room: Callable[[ModelVersion], None]
    """Raises `Overloaded` where a call could not even wait."""
    answer: Callable[[Handle, Request, bytes], Answer | Unwritten | None]
    """``None`` where the model is not to be called here; once it was called it answers or raises."""


class Known(NamedTuple):
    """What is known of a request by its head."""

    prompt: Prompt
    request: Request
    """Without a body, and the same for all requests with this head."""
    length: int
    """Of the body, in bytes."""
    request_id: bytes | None
    """The client's, if it gives one."""


async def take_outcome(request: Request) -> Response | None:
    """What came of a request before it reached the application, if it was tried; raises what it raised."""
    outcome: Outcome | None = request.scope.get("state", {}).pop(OUTCOME, None)
    if isinstance(outcome, Exception):
        raise outcome
    return await code(outcome.size, outcome.write) if isinstance(outcome, Unwritten) else outcome


class AtOnce:
    """Answers for one application."""

    def __init__(self, prompts: Sequence[Prompt], traffic: Traffic, *, max_body: int) -> None:
        self._prompts = prompts
        self._traffic = traffic
        self._max_body = min(max_body, LARGE - 1)
        self._server_headers: Headers = ()
        self._beginning = self._beginning_of_json = b""
        self._busy_poll = BusyPoll()
        self.outbox = Outbox(self._busy_poll.note_answers)
        """Through which the answers go to the clients."""
        self.known = Heads(self._recognize).find
        """What is known of a request with such a head; ``None`` for one that the application is to have."""

    def answer(self, known: Known, body: bytes, server_headers: Headers) -> bytes | Outcome | None:
        """The bytes of the answer; anything else is for the application, which is to have the request."""
        begin = perf_counter()
        self._busy_poll.note_request(begin)
        prompt, request = known.prompt, known.request
        try:
            version = prompt.find(request)
            prompt.check_room(version)
            handle = version.use()
        except Overloaded as error:
            self._traffic.count((prompt.protocol, version.name, version.version), STATUS[Overloaded], 0.0)
            return self._refusal(error, known, server_headers)
        except (MLBuffetError, HTTPException):
            return None
        with handle:
            if version.configuration.cache is not None or not handle.scheduler.may_run_now:
                return None
            request_id = known.request_id or new_id()
            REQUEST_IDS.set(request_id)
            try:
                answer = prompt.answer(handle, request, body)
            except Exception as error:  # noqa: BLE001  the application tells of it
                return error
        if answer is None or isinstance(answer, Unwritten):
            return answer
        if len(answer.body) >= WORTH_COMPRESSING:
            plain = answer.as_response()
            if (compressed := compress(plain, request)) is not plain:
                return compressed
        self._traffic.count((prompt.protocol, version.name, version.version), 200, perf_counter() - begin)
        return self._written(answer, request_id, server_headers)

    def _recognize(self, head: Head) -> Known | None:
        if head.length > self._max_body:
            return None
        for prompt in self._prompts:
            if found := prompt.path.match(head.path):
                scope = {"type": "http", "method": "POST", "path": head.path, "headers": head.headers}
                request = Request({**scope, "path_params": found.groupdict()})
                return Known(prompt, request, head.length, id_in(head.headers))
        return None

    def _written(self, answer: Answer, request_id: bytes, server_headers: Headers) -> bytes:
        if server_headers is not self._server_headers:  # they change once a second, with the date
            self._server_headers = server_headers
            self._beginning = b"HTTP/1.1 200 OK\r\n" + _lines(server_headers)
            self._beginning_of_json = self._beginning + _lines(_JSON)
        json = answer.headers is _JSON
        return b"%b%b: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            self._beginning_of_json if json else self._beginning + _lines(answer.headers),
            _REQUEST_ID,
            request_id,
            len(answer.body),
            answer.body,
        )

    def _refusal(self, error: Overloaded, known: Known, server_headers: Headers) -> bytes:
        """What the application would say; under load this is most of what there is to say."""
        response = error_response(STATUS[Overloaded], error.public)
        headers = [*server_headers, *response.raw_headers, (_REQUEST_ID, known.request_id or new_id())]
        return b"HTTP/1.1 503 Service Unavailable\r\n%b\r\n%b" % (_lines(headers), bytes(response.body))


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % one for one in headers])
