"""A process that serves: a socket, the application, and a clean end."""

import math
import signal
import socket
import time
from ipaddress import ip_address
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from typing_extensions import override

from mlbuffet.server.http_protocol import LimitedHttpToolsProtocol
from mlbuffet.server.settings import ServerSettings

DRAIN_SECONDS = 1.0


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port`` (0: a free one). Raises ``OSError``, before any model is loaded."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


def address_of(listener: socket.socket) -> str:
    """The URL at which ``listener`` is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only programs of this machine reach ``listener``."""
    return ip_address(listener.getsockname()[0]).is_loopback


class Server(uvicorn.Server):
    """uvicorn with uvloop and httptools (h11 lets requests through that httptools refuses), silent but for warnings.

    At SIGTERM it says for a moment that it is not ready, and goes on answering, so that nobody sends it anything new;
    then it takes no more connections, answers what it has accepted, and ends after ``grace`` seconds at the latest.
    At SIGINT, or a second signal, it skips that moment.
    """

    def __init__(self, app: Starlette, settings: ServerSettings | None = None) -> None:
        grace = (settings or ServerSettings()).grace
        drain = min(DRAIN_SECONDS, grace / 2)
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=LimitedHttpToolsProtocol,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=max(1, int(grace - drain)),
            )
        )
        self._app = app
        self._drain = drain
        self._stop_at = math.inf

    def stop(self) -> None:
        """End `run` once the requests under way are answered; may be called from any thread."""
        self.should_exit = True

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._app.state.draining:
            self._captured_signals.append(sig)
            self._app.state.draining = True
            self._stop_at = time.monotonic() + self._drain
        else:
            super().handle_exit(sig, frame)

    @override
    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or time.monotonic() >= self._stop_at
