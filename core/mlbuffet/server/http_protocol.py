"""HTTP/1.1 of uvicorn and httptools, with limits on the head of a request."""

from asyncio import TimerHandle, Transport
from http import HTTPStatus

import orjson
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
LINGER_SECONDS = 1.0


class LimitedHttpToolsProtocol(HttpToolsProtocol):
    """Refuses a head with too many headers or bytes (431), and one that does not arrive in time (408).

    uvicorn itself has no such limits: a client that never ends its head would hold a connection, and memory, for ever.
    """

    _timer: TimerHandle | None = None
    _head_bytes = 0
    _in_head = False
    _refused = False

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn itself has it
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            self._check_head()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, "the head of the request took too long")

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        self._head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        self._check_head()
        if not self._refused:
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _check_head(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            limits = f"{MAX_HEADERS} headers and {MAX_HEAD_BYTES} bytes"
            self._refuse(431, f"the head of the request is larger than this server takes: {limits}")

    def _refuse(self, status: int, message: str) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        body = orjson.dumps({"error": message})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self._stop_timer()  # a client that still sends would never read an answer followed by a reset
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
