"""``mlbuffet tune`` finds the settings of a model, and writes them where a server reads them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbuffet.cli.measuring import cores_here
from mlbuffet.repository.configuration import read_configuration
from onnx_linear import save_linear
from processes import environment_with_runtimes
from python_models import write_model

Run = Callable[..., subprocess.CompletedProcess[str]]
WAITS = """
@signature
def predict(self, x: Float32["batch", 2]) -> {"y": Float32["batch", 2]}:
    time.sleep(0.05)
    return {"y": x * 2}
"""
CONFIGURATION = '# mine\ndescription = "it waits"\n\n[scheduling]\nmax_concurrency = 1 # it was slow\nmax_queue = 100\n'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    environment = environment_with_runtimes(tmp_path)

    def run_main(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlbuffet", "tune", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run_main


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A folder of models with one that waits for a twentieth of a second, and whose owner has written about it."""
    header = "import time\nfrom mlbuffet_python import *\n\n"
    folder = tmp_path / "models" / "waiting"
    write_model(folder / "1", WAITS, header=header)
    (folder / "model.toml").write_text(CONFIGURATION)
    return folder


def test_what_is_found_is_written_beside_what_its_owner_wrote(run: Run, waiting: Path, tmp_path: Path) -> None:
    ran = run(waiting, "--plot", tmp_path / "tune.svg")
    assert ran.returncode == 0, ran.stderr
    assert "1 at once, batches of 8" in ran.stderr
    assert "times as many rows a second" in ran.stdout
    text = (waiting / "model.toml").read_text()
    assert text.startswith('# mine\ndescription = "it waits"\n')
    assert "# it was slow" in text
    found = read_configuration(waiting / "model.toml")
    assert found.scheduling.max_queue == 100
    assert (found.scheduling.concurrency, found.batching) != (1, None)
    assert "<svg" in (tmp_path / "tune.svg").read_text()


def test_an_onnx_model_is_tried_with_threads_and_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    save_linear(path)
    (tmp_path / "linear.toml").write_text("[options]\nintra_op_threads = 1\n")
    ran = run(path, "--dry-run", "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    told = json.loads(ran.stdout)
    assert told["written"] is None
    assert told["unbatched"] == ""
    assert told["trials"][0]["setting"]["threads"] == 1
    assert {one["setting"]["threads"] for one in told["trials"]} >= {1, len(cores_here())}
    assert {one["setting"]["max_size"] for one in told["trials"]} >= {1, 8}
    assert sum(one["chosen"] for one in told["trials"]) == 1
    assert (tmp_path / "linear.toml").read_text() == "[options]\nintra_op_threads = 1\n"


def test_a_limit_that_nothing_keeps_is_told_and_writes_nothing(run: Run, waiting: Path) -> None:
    ran = run(waiting, "--p99", "1ms")
    assert ran.returncode == 1
    assert "no setting keeps the limit" in ran.stdout
    assert (waiting / "model.toml").read_text() == CONFIGURATION


@pytest.mark.parametrize(
    ("place", "arguments", "reason"),
    [
        ("models", [], "is a folder of models; name one of them"),
        ("models/waiting/1", [], "is a version; settings are those of its model"),
        ("models/waiting", ["--p99", "50"], "'50' is no time; write such as 50ms"),
        ("models/waiting", ["--plot", "tune.pdf"], "'tune.pdf' must end in .png or .svg"),
        ("s3://bucket/models", [], "models at a URL are not measured"),
    ],
)
def test_what_cannot_be_tuned_is_told_before_anything_is_measured(
    run: Run, waiting: Path, tmp_path: Path, place: str, arguments: list[str], reason: str
) -> None:
    ran = run(place if "://" in place else tmp_path / place, *arguments)
    assert ran.returncode == 2
    assert reason in " ".join(ran.stderr.split())
    assert "at once" not in ran.stderr
