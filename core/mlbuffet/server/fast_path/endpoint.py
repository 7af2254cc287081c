"""Predictions that are made when their last byte arrives, without a task and without the application.

This is for requests that need not wait: the body is small and whole, the model is loaded and quick. Codec and service
are those of the application. Everything else is left to the application: the request alone where the model was not
called, otherwise with the outcome, so that errors are reported, counted and logged in one place.
"""

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.errors import MLBuffetError, Overloaded
from mlbuffet.inference import InferenceService, ServedModel
from mlbuffet.inference.offload import LARGE
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.server.fast_path.admission import Admission
from mlbuffet.server.fast_path.busy_poll import BusyPoll
from mlbuffet.server.fast_path.request_heads import Head, RequestHeads
from mlbuffet.server.fast_path.write_batch import WriteBatch
from mlbuffet.server.http.compression import WORTH_COMPRESSING
from mlbuffet.server.http.errors import STATUS, error_response
from mlbuffet.server.http.prediction import JSON, Answer, Headers, Outcome, PredictionCodec, PredictionHead
from mlbuffet.telemetry.request_context import REQUEST_ID, id_in, new_id
from mlbuffet.telemetry.request_counters import RequestCounters
from mlbuffet.tensors import rough_size


class FastEndpoint(NamedTuple):
    """Predictions of one codec at a path."""

    path: re.Pattern[str]
    codec: PredictionCodec[Any]


class Known(NamedTuple):
    """What the head of a request determines."""

    codec: PredictionCodec[Any]
    head: PredictionHead
    request: Request
    """Without a body; shared by all requests with this head."""
    length: int
    """Of the body, in bytes."""
    request_id: bytes | None
    """The client's, if it gives one."""


class FastPath:
    """The fast path of one application."""

    def __init__(
        self,
        service: InferenceService,
        endpoints: Sequence[FastEndpoint],
        counters: RequestCounters,
        *,
        max_body: int,
        admission: Admission | None = None,
    ) -> None:
        self._service = service
        self._endpoints = endpoints
        self._counters = counters
        self._max_body = min(max_body, LARGE - 1)
        self._server_headers: Headers = ()
        self._beginning = self._beginning_of_json = b""
        self._busy_poll = BusyPoll()
        self.write_batch = WriteBatch(self._busy_poll.note_answers)
        """Writes the responses to the clients."""
        find = RequestHeads(self._recognize).find if admission is None else admission.finder(self._recognize)
        self.known = find
        """What a head determines; ``None`` where the request is left to the application."""

    def answer(self, known: Known, body: bytes, server_headers: Headers) -> bytes | Outcome | None:
        """The bytes of the response; otherwise the request is left to the application, with the outcome if any."""
        begin = perf_counter()
        self._busy_poll.note_request(begin)
        try:
            served = self._service.serve_now(known.head.selector, counted=known.codec.has_statistics)
        except Overloaded as error:
            self._counters.count((known.codec.protocol, error.model, error.version), STATUS[Overloaded], 0.0)
            return self._refusal(error, known, server_headers)
        except MLBuffetError:
            return None
        if served is None:
            return None
        request_id = known.request_id or new_id()
        REQUEST_IDS.set(request_id)
        try:
            with served:
                answer = _answered(known, body, served)
        except Exception as error:  # noqa: BLE001  the application reports it
            return error
        if not isinstance(answer, Answer):
            return answer
        if len(answer.body) >= WORTH_COMPRESSING:
            response = answer.as_response(known.request)
            if "content-encoding" in response.headers:
                return response
        self._counters.count((known.codec.protocol, served.model, served.version), 200, perf_counter() - begin)
        return self._written(answer, request_id, server_headers)

    def _recognize(self, head: Head) -> Known | None:
        if head.length > self._max_body:
            return None
        for endpoint in self._endpoints:
            if found := endpoint.path.match(head.path):
                scope = {"type": "http", "method": "POST", "path": head.path, "headers": head.headers}
                request = Request({**scope, "path_params": found.groupdict()})
                try:
                    codec_head = endpoint.codec.head(request)
                except (MLBuffetError, HTTPException):
                    return None
                return Known(endpoint.codec, codec_head, request, head.length, id_in(head.headers))
        return None

    def _written(self, answer: Answer, request_id: bytes, server_headers: Headers) -> bytes:
        if server_headers is not self._server_headers:  # they change once a second, with the date
            self._server_headers = server_headers
            self._beginning = b"HTTP/1.1 200 OK\r\n" + _lines(server_headers)
            self._beginning_of_json = self._beginning + _lines(JSON)
        json = answer.headers is JSON
        return b"%b%b: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            self._beginning_of_json if json else self._beginning + _lines(answer.headers),
            REQUEST_ID,
            request_id,
            len(answer.body),
            answer.body,
        )

    def _refusal(self, error: Overloaded, known: Known, server_headers: Headers) -> bytes:
        """The response that the application would send; under load most responses are of this kind."""
        response = error_response(STATUS[Overloaded], error.public)
        headers = [*server_headers, *response.raw_headers, (REQUEST_ID, known.request_id or new_id())]
        return b"HTTP/1.1 503 Service Unavailable\r\n%b\r\n%b" % (_lines(headers), bytes(response.body))


def _answered(known: Known, body: bytes, served: ServedModel) -> Answer | Callable[[], Response] | None:
    """``None`` where the model was not called; raises the error of a call that failed."""
    head = known.head
    try:
        padded = bytes(head.padding) + body if head.padding else body
        request, encode = known.codec.decode(head, padded, served.signatures)
    except (MLBuffetError, HTTPException):  # the application raises it too
        return None
    result = served.infer_now(request)
    if result is None:
        return None
    if rough_size(result.outputs) >= LARGE:
        return lambda: encode(result).as_response(known.request)
    return encode(result)


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
