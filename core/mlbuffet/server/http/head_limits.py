"""HTTP/1.1 of uvicorn and httptools, with limits on the head of a request."""

import re
import sys
from asyncio import TimerHandle, Transport
from http import HTTPStatus

import orjson
from httptools import HttpParserInvalidMethodError
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlbuffet.server.http.host_header import host_problem

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
LINGER_SECONDS = 1.0

METHODS = "DELETE, GET, HEAD, POST, PUT"
"""All methods of all routes."""

_MAPPED = "::ffff:"
"""Before the address of a client that came by IPv4 to a socket for both."""
_VERSIONS = ("1.0", "1.1")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) \S+ HTTP/1\.[01]\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class LimitedHttpToolsProtocol(HttpToolsProtocol):
    """Refuses a head with too many headers or bytes (431), that does not arrive in time (408), or without one Host.

    uvicorn does none of it: a client that never ends its head would hold a connection, and memory, for ever. An offer
    to switch protocols, such as Java's client makes for HTTP/2, is ignored, because httptools would lose the body.

    The state of the application may hold a function under ``on_refusal``, which is called with the status of each
    request that does not reach the application.
    """

    _timer: TimerHandle | None = None
    _head_bytes = 0
    _in_head = False
    _in_message = False
    _refused = False
    _refusal = b""
    """The response to be sent after those to earlier requests."""
    _received = b""
    """The data received last, if no message has ended in it."""

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn itself has it
        super().connection_made(transport)
        if self.client is not None and self.client[0].startswith(_MAPPED):
            self.client = (self.client[0].removeprefix(_MAPPED), self.client[1])
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received = data if self._in_message else _without_upgrade(data)
        super().data_received(self._received)
        if self._in_head and not self._refused:  # a head mostly comes whole, and needs no timer
            self._head_bytes += len(data)
            self._check_head()
            if self._timer is None:
                late = "the head of the request took too long"
                self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, late)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._head_bytes = 0
        self._stop_timer()

    @override
    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._check_head()
        if self.parser.get_http_version() not in _VERSIONS:
            self._refuse(505, "this server speaks HTTP/1.1 and HTTP/1.0")
        elif problem := host_problem(self.headers, self.parser.get_http_version()):
            self._refuse(400, problem)
        if not self._refused:
            self._in_head = False
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._in_message = False
        self._received = b""
        if not self._refused:
            super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        line = _REQUEST_LINE.match(self._received)
        if line is not None and isinstance(sys.exception(), HttpParserInvalidMethodError):
            unknown = f"the method {line[1].decode()} is not known; there are {METHODS}"
            self._refuse(405, unknown, f"allow: {METHODS}\r\n")
        else:
            self._refuse(400, msg)

    def _check_head(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            limits = f"{MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes"
            self._refuse(431, f"the head of the request is larger than this server takes: {limits}")

    def _refuse(self, status: int, message: str, header: str = "") -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        is_the_applications = self._in_message and not self._in_head
        if not is_the_applications:
            self.app_state.get("on_refusal", int)(status)
        body = orjson.dumps({"error": message})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{header}\r\n"
        )
        self._refusal = head.encode() + body
        self._stop_timer()
        if is_the_applications or self._is_answered:
            self._send_refusal()

    @property
    def _is_answered(self) -> bool:
        """Whether the application has responded to every request."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal and self._is_answered:
            self._send_refusal()

    def _send_refusal(self) -> None:
        refusal, self._refusal = self._refusal, b""
        if self.transport.is_closing():
            return
        self.transport.write(refusal)
        if self.transport.can_write_eof():  # TLS cannot
            self.transport.write_eof()
        # a client that still sends would never read a response followed by a reset
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _without_upgrade(data: bytes) -> bytes:
    """``data``, which begins a request, with the header Upgrade renamed."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest
