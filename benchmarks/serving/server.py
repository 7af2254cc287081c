"""A server under measurement: started, asked once whether it is right, held still while others are measured, ended."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from artifacts import Array, Artifact
from serving import grpc_messages
from serving.bodies import Body, numbers_of
from serving.environment import python_of
from serving.peers import Peer

START_SECONDS = 90.0
PEERS = Path(__file__).parents[1] / "peers"


class NotServing(Exception):
    """A server did not come up, or gave a wrong answer; its text says what it did."""


class Server:
    """A running server, with every process that it started."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self._process = process

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc_address(self) -> str:
        """Where it answers gRPC, if it does."""
        return f"127.0.0.1:{grpc_port(self.port)}"

    @property
    def running(self) -> bool:
        """Whether its first process has not ended."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it says that it has loaded all of its models."""
        return httpx.get(f"{self.url}/v2/health/ready", timeout=30).status_code == httpx.codes.OK

    @property
    def memory(self) -> float:
        """Megabytes that belong to its processes alone, and their part of what they share."""
        return sum(process.memory_full_info().pss for process in self._processes()) / 2**20

    @property
    def processor_seconds(self) -> float:
        """The time that its processes have taken of the processors since they started."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def hold(self) -> None:
        """Let no process of it run."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End every process of it."""
        everyone = self._processes()
        self.go_on()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        _, left = psutil.wait_procs(everyone, timeout=2)
        for process in left:
            process.kill()
        self._process.wait()

    def _processes(self) -> list[psutil.Process]:
        if not self.running:
            return []
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            process.send_signal(number)


@contextmanager
def served(peer: Peer, artifact: Artifact, *options: str) -> Iterator[Server]:
    """A server of the model that answers rightly. Raises `NotServing` and `NotInstalled`."""
    port = _free_port()
    environment = {**os.environ, "MODEL": str(artifact.path), "NAME": artifact.name, "PORT": str(port)}
    environment["GRPC_PORT"] = str(grpc_port(port))
    command = _command(peer, artifact, port, options)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        server = Server(process, port)
        try:
            _wait(server, peer.body(artifact), artifact)
        except NotServing as error:
            server.end()
            log.seek(0)
            lines = log.read().decode(errors="replace").split("\n")
            raise NotServing(f"{error}: {' '.join(' '.join(lines[-4:]).split())[-300:]}") from None
        try:
            yield server
        finally:
            server.end()


def grpc_port(port: int) -> int:
    """Where a server with this port of HTTP answers gRPC."""
    return port + 1


def _command(peer: Peer, artifact: Artifact, port: int, options: tuple[str, ...]) -> list[str]:
    given = [option.format(grpc_port=grpc_port(port)) for option in peer.options]
    if peer.script:
        return [str(python_of(peer)), str(PEERS / peer.script), *given, *options]
    mlbuffet = str(Path(sys.executable).with_name("mlbuffet"))
    return [mlbuffet, "serve", str(artifact.folder), "--port", str(port), *given, *options]


def _wait(server: Server, body: Body, artifact: Artifact) -> None:
    """Until the server gives the right answer; a wrong one ends the patience at once."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not server.running:
            raise NotServing("it ended by itself")
        numbers = _asked_over_grpc(server, body) if body.grpc else _asked(server, body)
        if numbers is not None:
            return check(numbers, artifact)
        time.sleep(0.02)
    raise NotServing(f"it gave no answer for {START_SECONDS:g} s")


def _asked(server: Server, body: Body) -> Array | None:
    """The numbers of the answer, if there is one."""
    try:
        answer = httpx.post(server.url + body.path, content=body.content, headers=body.headers, timeout=30)
    except httpx.TransportError:
        return None
    return numbers_of(answer.content, dict(answer.headers)) if answer.status_code == httpx.codes.OK else None


def _asked_over_grpc(server: Server, body: Body) -> Array | None:
    try:
        return grpc_messages.numbers_of(grpc_messages.ask(server.grpc_address, body))
    except grpc_messages.NoAnswer:
        return None


def check(numbers: Array, artifact: Artifact) -> None:
    """Raises `NotServing` where the numbers of an answer do not hold every output of the model."""
    for name, value in artifact.outputs.items():
        places = range(numbers.size - value.size + 1)
        if not any(np.allclose(numbers[i : i + value.size], value.ravel(), rtol=1e-3, atol=1e-5) for i in places):
            raise NotServing(f"its answer is wrong in {name!r}: {numbers[:20]}")


def _free_port() -> int:
    """A free port, whose two neighbours are free too: some servers open one for gRPC and one for metrics."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        try:
            for neighbour in (port + 1, port + 2):
                socket.create_server(("127.0.0.1", neighbour)).close()
        except OSError:
            continue
        return port
