"""Every block of docs/clients.md runs against a server of the iris model, where its client is installed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mlbuffet.runtimes import installed_runtimes
from mlbuffet.server import ServerSettings
from mlbuffet.server.processes.port_reservation import reserve

ROOT = Path(__file__).parents[1]
SECTIONS = dict(
    re.findall(r"^## (.+?)\n.*?```(\w+\n.*?)```", (ROOT / "docs/clients.md").read_text(), re.DOTALL | re.MULTILINE)
)
KSERVE = os.environ.get("MLBUFFET_KSERVE_PYTHON")


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the iris model is served, instead of the addresses in the document."""
    models = tmp_path_factory.mktemp("models")
    train = [sys.executable, str(ROOT / "examples/train_iris_onnx.py"), str(models / "iris/1")]
    subprocess.run(train, check=True, capture_output=True)
    if (address := os.environ.get("MLBUFFET_TEST_SERVE")) is not None:  # another server than this one
        with reserve("127.0.0.1", 0) as free:
            host, port = free.getsockname()
        settings = ServerSettings(grpc_address=(host, port))
        with EntryPoint("serve", address, "tests").load()(models, settings, installed_runtimes()) as client:
            yield {"localhost:8000": client.base_url.netloc.decode(), "localhost:8001": f"{host}:{port}"}
        return
    serve = [sys.executable, "-m", "mlbuffet", "serve", str(models), "--port", "0", "--grpc-port", "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        shown = ""
        while "serving on" not in shown:
            shown += server.stdout.readline()
        grpc, http = re.findall(r"serving (?:gRPC )?on (?:http://)?(127\.0\.0\.1:\d+)", shown)
        yield {"localhost:8000": http, "localhost:8001": grpc}
        server.terminate()


def test_every_client_has_a_block() -> None:
    assert list(SECTIONS) == [
        "curl",
        "tritonclient",
        "tritonclient over gRPC",
        "KServe's client",
        "KServe's client over gRPC",
        "ovmsclient",
        "TensorFlow Serving's stubs",
        "ovmsclient over gRPC",
        "grpcurl",
        "grpcio, by reflection",
        "requests and numpy, raw",
        "JavaScript",
    ]


@pytest.mark.parametrize("client", SECTIONS)
def test_the_block_of_a_client_runs(client: str, addresses: dict[str, str]) -> None:
    language, _, code = SECTIONS[client].partition("\n")
    command = {
        "sh": ["bash", "-ec"],
        "python": [sys.executable, "-c"],
        "js": [shutil.which("node") or "", "--input-type=module", "-e"],
    }[language]
    if client.startswith(
        "KServe"
    ):  # it cannot be installed beside TensorFlow: `make clients` gives it a place of its own
        command[0] = KSERVE or ""
    if not command[0] or (client == "grpcurl" and shutil.which("grpcurl") is None):
        pytest.skip("this client is not installed")
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    for written, address in addresses.items():
        code = code.replace(written, address)
    ran = subprocess.run([*command, code], check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.replace("c2V0b3Nh", "setosa").count("setosa") >= (2 if client == "curl" else 1)  # or in base64
    assert client != "requests and numpy, raw" or "virginica" in ran.stdout
