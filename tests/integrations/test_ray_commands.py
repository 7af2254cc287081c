"""``serve run`` and ``serve deploy``, as docs/ray.md has them, on a cluster that ``ray start`` has made."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from onnx_linear import write_line
from redis_server import free_port
from small_runtimes import write_models
from waiting import wait_for

pytest.importorskip("ray")

from ray_cluster import HIGHLY_AVAILABLE, QUIET
from ray_serving import is_ready

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ray.md").read_text()
BIN = Path(sys.executable).parent
HALF = {"half": "small_runtimes:HalfPlusTwo"}
X = {"instances": [1]}


@dataclass
class Cluster:
    """What ``ray start`` has made, whose proxy is to listen at a port that is free."""

    address: str
    dashboard: str
    port: int
    environment: dict[str, str]

    def start(self, *command: str, cwd: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([BIN / command[0], *command[1:]], env=self.environment, cwd=cwd)

    def run(self, *command: str, cwd: Path) -> str:
        """What a command prints that ends by itself."""
        words = [BIN / command[0], *command[1:]]
        ran = subprocess.run(
            words, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False) as client:
            wait_for(lambda: is_ready(client), 120)
            yield client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    ports = [free_port() for _ in range(5)]
    address, dashboard = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    haproxy = dict(
        zip(("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT"), map(str, ports[2:4]), strict=True)
    )
    environment = {**os.environ, **QUIET, **HIGHLY_AVAILABLE, **haproxy, "PYTHONPATH": str(ROOT / "tests")}
    environment |= {"RAY_ADDRESS": address, "RAY_DASHBOARD_ADDRESS": dashboard, "NO_PROXY": "*", "no_proxy": "*"}
    command = ["start", "--head", "--block", "--num-cpus=8", "--node-ip-address=127.0.0.1", f"--port={ports[0]}"]
    command += [f"--dashboard-port={ports[1]}", "--include-dashboard=true", "--disable-usage-stats"]
    del environment["RAY_ADDRESS"]  # or the head would want to join it
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([BIN / "ray", *command], env=environment, stdout=log, stderr=log)
    try:
        environment["RAY_ADDRESS"] = address
        wait_for(lambda: _answers(f"{dashboard}/api/version"), 120)
        yield Cluster(address, dashboard, ports[4], environment)
    finally:
        everyone = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for one in everyone:
            if one.is_running():
                one.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def command_of_the_page() -> list[str]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("serve run ")]
    return line.split()


def test_the_command_of_the_page_serves_a_folder_until_it_is_interrupted(cluster: Cluster, tmp_path: Path) -> None:
    write_line(tmp_path / "models/line/1/model.onnx", 3, 2)
    cluster.run("serve", "start", "--http-host", "127.0.0.1", "--http-port", str(cluster.port), cwd=tmp_path)
    running = cluster.start(*command_of_the_page(), cwd=tmp_path)
    try:
        with cluster.client() as client:
            assert client.post("/v1/models/line:predict", json=X).json() == {"predictions": [5]}
            running.send_signal(signal.SIGINT)
            assert running.wait(60) in (0, 1)
            wait_for(lambda: not is_ready(client), 60)
    finally:
        running.kill()
        running.wait()


def test_the_file_of_the_page_is_deployed_and_shows_models_by_name(cluster: Cluster, tmp_path: Path) -> None:
    models = write_models(tmp_path / "models", {"a/1/x.half": "half", "a/2/x.half": "half", "b.half": "half"})
    (models / "a/model.toml").write_text("labels = { first = 1 }\n[replicas]\nmin = 2\nnum_cpus = 0.1\n")
    file: dict[str, Any] = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])
    arguments = file["applications"][0]["args"]
    arguments |= {"models": str(models), "runtimes": HALF}
    file["http_options"] = {"host": "127.0.0.1", "port": cluster.port}
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(file))
    cluster.run("serve", "deploy", "serve.yaml", cwd=tmp_path)
    with cluster.client() as client:
        labelled = client.post("/v1/models/a/labels/first:predict", json=X)
        assert labelled.json() == {"predictions": [2.5]}
        added = client.put("/api/v1/models/b?filename=x.half", content=b"half")
        assert (added.status_code, added.json()["version"]) == (201, 2), added.text
    status = yaml.safe_load(cluster.run("serve", "status", cwd=tmp_path))["applications"]["default"]
    assert status["status"] == "RUNNING"
    shown = httpx.get(f"{cluster.dashboard}/api/serve/applications/", trust_env=False, timeout=30).json()
    for deployments in (status["deployments"], shown["applications"]["default"]["deployments"]):
        assert deployments.keys() == {"_directory", "_front", "a", "b"}
    assert status["deployments"]["a"]["replica_states"] == {"RUNNING": 2}
