"""A Redis server for one test: on a free port of loopback, without files."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


@dataclass(frozen=True)
class RedisServer:
    """A server that runs, and where."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *words: bytes) -> bytes:
        """The first line of the answer to one command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            command = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            connection.sendall(b"*%d\r\n%b" % (len(words), command))
            return connection.makefile("rb").readline().strip()


def free_port() -> int:
    """A port that nobody listens on, at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def redis_server(port: int | None = None) -> Iterator[RedisServer]:
    """A server, once it answers; it has ended afterwards."""
    if PROGRAM is None:
        pytest.skip("there is no redis-server")
    chosen = port or free_port()
    options = {"port": chosen, "bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with subprocess.Popen([PROGRAM, *words], stdout=subprocess.DEVNULL, cwd="/") as process:
        server = RedisServer(process, chosen)
        try:
            _wait_for(server)
            yield server
        finally:
            process.kill()


def _wait_for(server: RedisServer) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            if server.ask(b"PING") == b"+PONG":
                return
        except OSError:
            assert time.monotonic() < deadline, "Redis did not start"
        time.sleep(0.02)
