"""HTTP/1.1 that makes small predictions in the callback in which their last byte arrives."""

from asyncio import Transport

from typing_extensions import override

from mlbuffet.server.fast_path.endpoint import FastPath
from mlbuffet.server.fast_path.request_heads import END
from mlbuffet.server.http.body_gathering import GatheringHttpToolsProtocol
from mlbuffet.server.http.prediction import OUTCOME, Outcome

HOLD_SECONDS = 0.05
"""How long the rest of a small body is awaited for the fast path, before the application gets the request."""


class FastHttpToolsProtocol(GatheringHttpToolsProtocol):
    """Passes requests to the `FastPath` in the application's state under ``fast_path``, if there; parses the others."""

    _fast_path: FastPath | None = None
    _held = b""
    """A request for the fast path whose body is not whole yet."""
    _outcome: Outcome | None = None
    """The outcome of the request that the parser gets next."""
    _active_at = 0.0
    """When the last request for the fast path arrived."""

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn itself has it
        super().connection_made(transport)
        self._fast_path = self.app_state.get("fast_path")

    @override
    def data_received(self, data: bytes) -> None:
        if self._fast_path is not None and not self._in_message and not self._refused:
            data = self._answer(self._fast_path, data)
        if data:
            super().data_received(data)
            self._keep_timer()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._outcome is not None:
            self.scope["state"][OUTCOME] = self._outcome
            self._outcome = None

    @override
    def shutdown(self) -> None:
        self._leave_to_application()
        super().shutdown()

    @override
    def close_after_response(self) -> None:
        self._leave_to_application()
        super().close_after_response()

    def _leave_to_application(self) -> None:
        """End the fast path of this connection; a request that was held is answered when it is whole."""
        if self._held:
            self._stop_timer()
            self._end_hold()
        if self._fast_path is not None:
            self._fast_path.write_batch.flush()
            self._fast_path = None

    def _answer(self, fast_path: FastPath, data: bytes) -> bytes:
        """``data`` without the requests that the fast path has responded to: it is for the parser."""
        held, self._held = self._held, b""
        data = held + data
        while data.startswith(b"POST ") and self._is_idle:
            head, end, rest = data.partition(END)
            known = fast_path.known(head) if end else None
            if known is None:
                break
            self._active_at = self.loop.time()
            if self.timeout_keep_alive_task is None:  # one timer for many requests
                self._end_when_idle(self.timeout_keep_alive)
            if len(rest) < known.length:
                self._hold(data, again=bool(held))
                return b""
            answer = fast_path.answer(known, rest[: known.length], self.server_state.default_headers)
            if not isinstance(answer, bytes):
                self._outcome = answer
                break
            self._stop_timer()
            fast_path.write_batch.put(self.transport, answer)
            held, data = b"", rest[known.length :]
        if data:
            fast_path.write_batch.flush()  # before what the application writes
        return data

    def _hold(self, data: bytes, *, again: bool) -> None:
        """Wait for the rest of a body: many clients send head and body separately."""
        self._held = data
        if not again:
            self._stop_timer()
            self._timer = self.loop.call_later(HOLD_SECONDS, self._end_hold)

    def _end_hold(self) -> None:
        self._timer = None
        data, self._held = self._held, b""
        super().data_received(data)

    def _keep_timer(self) -> None:
        """Restart the timer of an idle connection: empty lines before a request stop it without beginning a message."""
        between = self._is_idle and not (self._in_message or self._refused or self.transport.is_closing())
        if between and self._timer is None and self.timeout_keep_alive_task is None:
            self._end_when_idle(max(self._active_at + self.timeout_keep_alive - self.loop.time(), 0))

    @override
    def on_response_complete(self) -> None:
        self._active_at = self.loop.time()
        super().on_response_complete()

    @property
    def _is_idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _end_when_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    @override
    def timeout_keep_alive_handler(self) -> None:
        left = self._active_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._end_when_idle(left)
        else:
            super().timeout_keep_alive_handler()
