"""A server process: its socket, its application, and its shutdown."""

import asyncio
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Timer, current_thread, main_thread
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from mlbuffet.server.certificates import certificates_of
from mlbuffet.server.grpc_serving import GrpcServing
from mlbuffet.server.http.body_gathering import GatheringHttpToolsProtocol
from mlbuffet.server.processes.tls import ReloadableContext
from mlbuffet.server.settings import ServerSettings

DRAIN_SECONDS = 1.0
FORCED_SECONDS = 1.0
CLOSE = (b"connection", b"close")

logger = logging.getLogger("mlbuffet.server.process")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port`` (0: a free one); one bound to ``::`` takes IPv4 too, where it can.

    Raises ``OSError``, before any model is loaded.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    both = address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, dualstack_ipv6=both)


def address_of(listener: socket.socket, scheme: str = "http") -> str:
    """The URL at which ``listener`` is reached; for a Unix socket ``unix:`` and its path."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    return f"{scheme}://{host_and_port(*listener.getsockname()[:2])}"


def host_and_port(host: str, port: int) -> str:
    """``127.0.0.1:8000``, ``[::1]:8000``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only programs of this machine can connect to ``listener``.

    Not so for a Unix socket: what connects there is mostly a proxy.
    """
    return listener.family != socket.AF_UNIX and ip_address(listener.getsockname()[0]).is_loopback


class Server(uvicorn.Server):
    """uvicorn with uvloop and httptools (h11 accepts requests that httptools refuses); it logs only warnings.

    After SIGTERM it serves for ``drain`` seconds without being ready, so that load balancers stop sending requests, and
    closes each connection with the next response, which says so: a client that keeps one goes elsewhere in good time.
    Then it accepts no more connections and responds to the requests that it has. SIGINT, or a second signal, skips
    these seconds. The process ends at most ``grace`` seconds after the first signal, even where a call to a model never
    returns. ``clean_up`` is called when no request is served any more. At SIGHUP it reads its certificates again;
    without any it cleans up and ends by the signal.
    """

    def __init__(
        self, app: Starlette, settings: ServerSettings | None = None, clean_up: Callable[[], None] = lambda: None
    ) -> None:
        chosen = settings or ServerSettings()
        self._app = app
        self._clean_up = clean_up
        self._grace = chosen.grace
        self._drain = min(DRAIN_SECONDS, self._grace / 4) if chosen.drain is None else chosen.drain
        certificates = certificates_of(chosen)
        self._tls = None if certificates is None else ReloadableContext.of(certificates)
        self._stop_at = math.inf
        self._keeps_connections = True
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=_fast_protocol() if chosen.fast_path else GatheringHttpToolsProtocol,
                log_config=None,
                access_log=False,
                proxy_headers=bool(chosen.trusted_proxies),  # uvicorn would believe every proxy on this machine
                forwarded_allow_ips=list(chosen.trusted_proxies),
                root_path=chosen.root_path,
                timeout_graceful_shutdown=_seconds_for_requests(self._grace - self._drain),  # type: ignore[arg-type]  # it takes fractions too
            )
        )

    def stop(self) -> None:
        """End `run` after the running requests; may be called from any thread."""
        self.should_exit = True

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._is_draining
        self._app.state.draining = True
        if first:
            _end_process_after(self._grace, self._clean_up)
        if first and sig == signal.SIGTERM:
            self._captured_signals.append(sig)
            self._stop_at = time.monotonic() + self._drain
        else:
            super().handle_exit(sig, frame)
        if self.force_exit:
            _end_process_after(FORCED_SECONDS, self._clean_up)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Clean up first, because the signal that stopped the server may end the process here."""
        with super().capture_signals(), self._handling_hangups():
            yield
            self._clean_up()

    @contextmanager
    def _handling_hangups(self) -> Iterator[None]:
        """At SIGHUP, which is blocked until now where there are certificates, read them again, or end.

        Where it is ignored, as under nohup, it stays so for a server without certificates.
        """
        before = signal.getsignal(signal.SIGHUP)
        if current_thread() is not main_thread() or (self._tls is None and before is not signal.SIG_DFL):
            yield
            return
        signal.signal(signal.SIGHUP, lambda *_: self._hang_up())
        if self._tls is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def _hang_up(self) -> None:
        if self._tls is not None:
            self._tls.reload()
            if self._grpc is not None:
                self._grpc.reload_certificates()
            return
        self._clean_up()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGHUP)

    @property
    def _is_draining(self) -> bool:
        """Nobody has said so yet in an application around that of MLBuffet."""
        return getattr(self._app.state, "draining", False)

    @property
    def _grpc(self) -> GrpcServing | None:
        """``None`` in an application around that of MLBuffet."""
        return getattr(self._app.state, "grpc", None)

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.ssl = self._tls
        await super().startup(sockets)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Calls of gRPC have the same time to end as requests have, and not the time after that."""
        seconds = _seconds_for_requests(self._grace - self._drain)
        ending = self._grpc and asyncio.create_task(self._grpc.stop(seconds))
        await super().shutdown(sockets)
        if ending:
            await ending

    @override
    async def on_tick(self, counter: int) -> bool:
        if self._is_draining and self._keeps_connections:
            self._keeps_connections = False
            self._close_connections_as_they_are_used()
        return await super().on_tick(counter) or time.monotonic() >= self._stop_at

    def _close_connections_as_they_are_used(self) -> None:
        """Have uvicorn write ``Connection: close``, by which it closes; the fast path would keep them, and ends."""
        self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        self.lifespan.state.pop("fast_path", None)
        for connection in list(self.server_state.connections):
            if isinstance(connection, GatheringHttpToolsProtocol):
                connection.close_after_response()


def _seconds_for_requests(left: float) -> float:
    """How long running requests may take, of the seconds that are left: some are for what ends after them."""
    return left - min(DRAIN_SECONDS, left / 4)


def _fast_protocol() -> type[GatheringHttpToolsProtocol]:
    from mlbuffet.server.fast_path.protocol import FastHttpToolsProtocol  # a server without it never imports it

    return FastHttpToolsProtocol


def _end_process_after(seconds: float, clean_up: Callable[[], None]) -> None:
    """End the process from a timer: a call to a model cannot be interrupted, and Python would wait for its thread."""
    timer = Timer(seconds, _end_process, [clean_up])
    timer.daemon = True
    timer.start()


def _end_process(clean_up: Callable[[], None]) -> None:
    logger.error("a call to a model did not end in time, and is given up")
    clean_up()
    logging.shutdown()
    os._exit(1)
