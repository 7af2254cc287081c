"""A process that serves: a socket, the application, and a clean end."""

import socket
from ipaddress import ip_address

import uvicorn
from starlette.applications import Starlette


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
    """uvicorn with uvloop and httptools (h11 lets requests through that httptools refuses), silent but for warnings."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False))

    def stop(self) -> None:
        """End `run` once the requests under way are answered; may be called from any thread."""
        self.should_exit = True
