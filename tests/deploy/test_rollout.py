"""Servers are restarted one after the other behind HAProxy, and no request fails; `make rollouts` does it 20 times.

HAProxy stands for a Service of Kubernetes here: it asks for readiness, and tries no request again.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from onnx_linear import save_linear
from redis_server import free_port
from waiting import wait_for

ROOT = Path(__file__).parents[2]
RESTARTS = int(os.environ.get("MLBUFFET_ROLLOUTS") or 2)
CLIENTS = 4

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no haproxy")


def text_of(url: str) -> str:
    """The text of an answer of 200, or none."""
    with suppress(httpx.TransportError):
        answer = httpx.get(url, trust_env=False, timeout=10)
        return answer.text if answer.status_code == 200 else ""
    return ""


@dataclass
class Server:
    """One of two, at a port of its own, with the settings of deploy/server.toml."""

    configuration: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = ["-m", "mlbuffet", "serve", "--config", str(self.configuration), "--port", str(self.port)]
        nowhere = subprocess.DEVNULL
        self.process = subprocess.Popen([sys.executable, *command], stdout=nowhere, stderr=nowhere)

    def wait_for_requests(self) -> None:
        """Until HAProxy has given it a request, and it has answered."""
        counted = re.compile(r'mlbuffet_requests_total\{code="200",model="linear"')
        wait_for(lambda: counted.search(text_of(f"{self.address}/metrics")), 120)

    def restart(self) -> float:
        """Stop it as a new release would, and start it; the seconds until it had ended."""
        assert self.process
        begin = time.monotonic()
        self.process.terminate()
        assert self.process.wait(60) in (0, -15)
        ended = time.monotonic() - begin
        self.start()
        self.wait_for_requests()
        return ended


@dataclass
class Clients:
    """Threads that ask until they are stopped, half of them with a connection for each request."""

    address: str
    stopped: Event = field(default_factory=Event)
    answered: int = 0
    failed: list[str] = field(default_factory=list)

    def ask(self, number: int) -> None:
        headers = {"Connection": "close"} if number % 2 else {}
        with httpx.Client(base_url=self.address, headers=headers, timeout=60, trust_env=False) as client:
            while not self.stopped.wait(0.002):
                try:
                    answer = client.post("/v1/models/linear:predict", json={"instances": [[7, 0, 7]]})
                    right = answer.status_code == 200 and answer.json()["predictions"][0] == pytest.approx([4, 6])
                    failure = "" if right else f"{answer.status_code} {answer.text}"
                except httpx.TransportError as error:
                    failure = repr(error)
                if failure:
                    self.failed.append(failure)
                else:
                    self.answered += 1  # of threads that take turns; a count that is one too low harms nobody

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [Thread(target=self.ask, args=[number]) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()


@contextmanager
def haproxy(folder: Path, servers: list[Server]) -> Iterator[str]:
    """HAProxy with our configuration, but that it tries nothing again; where it listens."""
    port = free_port()
    text = (ROOT / "deploy/haproxy.cfg").read_text()
    addresses = {"127.0.0.1:8000": port, "127.0.0.1:8101": servers[0].port, "127.0.0.1:8102": servers[1].port}
    for written, here in addresses.items():
        assert written in text
        text = text.replace(written, f"127.0.0.1:{here}")
    text = re.sub(r"option redispatch\n\s*retries \d", "retries 0", text)
    assert "retries 0" in text
    (folder / "haproxy.cfg").write_text(text)
    process = subprocess.Popen(["haproxy", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_haproxy_finds_nothing_wrong() -> None:
    command = ["haproxy", "-c", "-f", str(ROOT / "deploy/haproxy.cfg")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, "WARNING" in ran.stderr) == (0, False), ran.stderr


def test_no_request_fails_while_servers_are_restarted(tmp_path: Path) -> None:
    models = tmp_path / "models/linear/1"
    models.mkdir(parents=True)
    save_linear(models / "model.onnx")
    configuration = tmp_path / "server.toml"
    text = (ROOT / "deploy/server.toml").read_text()
    configuration.write_text(text.replace("/var/lib/mlbuffet/models", str(tmp_path / "models")))
    servers = [Server(configuration, free_port()) for _ in range(2)]
    try:
        with haproxy(tmp_path, servers) as address:
            clients = Clients(address)
            for server in servers:
                server.start()
            for server in servers:
                wait_for(lambda at=server.address: text_of(f"{at}/v2/health/ready"), 120)  # type: ignore[misc]
            wait_for(lambda: text_of(f"{address}/v2/models/linear"), 30)
            with clients.asking():
                for server in servers:
                    server.wait_for_requests()
                stops = [servers[number % 2].restart() for number in range(RESTARTS)]
    finally:
        for server in servers:
            if server.process:
                server.process.kill()
                server.process.wait()
    print(
        f"{RESTARTS} restarts: {clients.answered} requests answered rightly, {len(clients.failed)} failed; "
        f"a stop took {min(stops):.1f} to {max(stops):.1f} s"
    )
    assert clients.failed == []
    assert clients.answered > 10 * RESTARTS
