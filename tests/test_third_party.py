"""A stranger's runtime, installed from its own distribution, is found by its entry point and used like any other."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "runtime-linear"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a model, inputs, and the example's tests without its code."""
    folder = tmp_path_factory.mktemp("work")
    np.savez(folder / "model.npz", weights=np.array([[1.0, 0.0], [2.0, -1.0]]), bias=np.array([0.5, 0.0]))
    (folder / "inputs.json").write_text('{"x": [[1, 2], [3, 4]]}')
    shutil.copytree(EXAMPLE / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "pyproject.toml", folder)
    return folder


@pytest.fixture(scope="module")
def site(elsewhere: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example was installed."""
    source = tmp_path_factory.mktemp("source") / "runtime-linear"
    shutil.copytree(EXAMPLE, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", str(source)]
    subprocess.run(command, env=elsewhere, check=True, capture_output=True)
    return Path(elsewhere["PIP_TARGET"])


@pytest.fixture
def run(site: Path, elsewhere: dict[str, str], folder: Path) -> Run:
    def run(*command: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**elsewhere, "PYTHONPATH": str(site) if installed else ""}
        arguments = [sys.executable, "-m", *command]
        return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def listed(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return {runtime["name"]: runtime for runtime in json.loads(result.stdout)["runtimes"]}


def test_the_package_installs_its_module_and_nothing_else(site: Path) -> None:
    installed = {path.name for path in site.iterdir()} - {"__pycache__"}
    assert installed == {"mlbuffet_linear.py", "mlbuffet_linear-1.0.0.dist-info"}


def test_an_installed_runtime_is_listed_with_what_it_accepts(run: Run) -> None:
    assert listed(run("mlbuffet", "runtimes", "--json"))["linear"] == {
        "name": "linear",
        "distribution": "mlbuffet-linear",
        "version": "1.0.0",
        "accepts": "A linear model: an .npz file with the arrays 'weights' and 'bias'",
    }


def test_an_installed_runtime_is_chosen_to_predict(run: Run) -> None:
    result = run("mlbuffet", "predict", "model.npz", "--inputs", "inputs.json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"y": [[5.5, -2.0], [11.5, -4.0]]}


def test_an_installed_runtime_is_chosen_by_load(folder: Path, run: Run) -> None:
    (folder / "ask.py").write_text(
        "import mlbuffet\n"
        "model = mlbuffet.load('model.npz', options={'softmax': True})\n"
        "print(model.runtime.distribution, model.predict({'x': [[0, 0]]})['y'].sum())\n"
    )
    assert run("ask").stdout.split() == ["mlbuffet-linear", "1.0"]


def test_an_installed_runtime_passes_the_conformance_suite(run: Run) -> None:
    result = run("pytest", "-q", "-Werror", "-pno:cacheprovider", "--import-mode=importlib", "--rootdir=.", "tests")
    assert result.returncode == 0, result.stdout
    assert "skipped" not in result.stdout


@pytest.fixture
def address(run: Run, site: Path, elsewhere: dict[str, str], folder: Path) -> Iterator[str]:
    """Where a server with the model listens."""
    command = [sys.executable, "-m", "mlbuffet", "serve", "model.npz", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, env=elsewhere, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        report = ""
        for line in server.stdout:
            report += line
            if line == "}\n":
                break
        yield json.loads(report)["address"]
        server.send_signal(signal.SIGTERM)


def test_an_installed_runtime_is_served(address: str) -> None:
    body = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]}
    request = Request(f"{address}/v2/models/model/infer", json.dumps(body).encode())
    with urlopen(request, timeout=30) as response:
        [y] = json.load(response)["outputs"]
    assert (y["name"], y["datatype"], y["shape"], y["data"]) == ("y", "FP64", [2, 2], [5.5, -2.0, 11.5, -4.0])


def test_a_runtime_that_is_not_installed_is_gone(run: Run) -> None:
    assert "linear" not in listed(run("mlbuffet", "runtimes", "--json", installed=False))
    result = run("mlbuffet", "predict", "model.npz", "--inputs", "inputs.json", installed=False)
    assert result.returncode == 1
    assert "no installed runtime accepts" in result.stderr
