"""``mlbuffet plan`` measures models here, and says what they take."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import environment_with
from small_runtimes import write_models

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run it in a process in which the small runtimes are installed."""
    plugins = ["half = small_runtimes:HalfPlusTwo", "echo = small_runtimes:Echo", "sleep = small_runtimes:Sleep"]
    environment = environment_with(tmp_path / "site", plugins)

    def run_main(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlbuffet", "plan", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run_main


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_models(tmp_path / "models", {"good.half": "half"})
    return tmp_path / "models"


def test_what_a_model_takes_is_measured_and_drawn(run: Run, models: Path, tmp_path: Path) -> None:
    ran = run(models, "--rate", "good=200", "--p99", "30s", "--plot", tmp_path / "plan.png")
    assert ran.returncode == 0
    assert "good on one core" in ran.stderr
    assert "1 cores for the models" in ran.stdout
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(run(models, "--rate", "good=200", "--json").stdout)
    (model,) = told["models"]
    assert model["choice"]["replicas"] == model["choice"]["cores"] == 1
    assert model["measured"]["one_core"]["unbatched"] == ""
    assert model["measured"]["one_core"]["calls"][1]["rows"] == 2
    assert 0 < model["front"] < 200
    assert model["memory"] > 2**20


def test_a_limit_that_no_call_keeps_is_told(run: Run, models: Path) -> None:
    ran = run(models, "--rate", "good=1", "--p99", "0.0001ms")
    assert ran.returncode == 1
    assert "good cannot keep the limit: alone on this machine, 99 of 100 calls take up to" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rate", "good"], "'good' is no rate; write NAME=NUMBER of calls a second"),
        (["--rate", "good=0"], "'good=0' is no rate"),
        (["--rate", "none=5"], "there is no model 'none'"),
        (["--rate", "good=5", "--p99", "50"], "'50' is no time; write such as 50ms"),
        (["--rate", "good=5", "--plot", "plan.pdf"], "'plan.pdf' must end in .png or .svg"),
    ],
)
def test_what_cannot_be_planned_is_told_before_anything_is_measured(
    run: Run, models: Path, arguments: list[str], reason: str
) -> None:
    ran = run(models, *arguments)
    assert ran.returncode == 2
    assert reason in " ".join(ran.stderr.split())
    assert "on one core" not in ran.stderr
