"""``mlbuffet convert`` writes what agrees with the model, and nothing else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import environment_with

Run = Callable[..., subprocess.CompletedProcess[str]]
CONVERTERS = ["[mlbuffet.converters]", "half = small_converters:half", "sleep = no_such_module:convert"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run it in a process in which these runtimes and converters are installed."""
    runtimes = ["half = small_runtimes:HalfPlusTwo", "as_onnx = small_converters:HalfAsOnnx"]
    others = ["echo = small_runtimes:Echo", "sleep = small_runtimes:Sleep"]
    environment = environment_with(tmp_path / "site", [*runtimes, *others, *CONVERTERS])

    def run_main(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlbuffet", "convert", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run_main


def test_a_model_is_written_that_agrees(run: Run, half: Path, tmp_path: Path) -> None:
    target = tmp_path / "half.onnx"
    target.write_text("an older one")
    ran = run(half, target, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = json.loads(ran.stdout)
    assert shown["written"] == str(target)
    assert [output["agrees"] for output in shown["outputs"]] == [True]
    assert shown["microseconds"].keys() == {"half", "as_onnx"}
    assert target.read_text() == "half 2"
    assert not list(tmp_path.glob(".mlbuffet*"))


def test_a_model_that_differs_is_not_written(run: Run, half: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in.json"
    inputs.write_text('{"x": [1, 2]}')
    ran = run(half, tmp_path / "half.onnx", "--option", "add=3", "--inputs", inputs)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "1.00e+00" in ran.stdout
    assert "nothing is written" in ran.stdout
    assert not (tmp_path / "half.onnx").exists()
    ran = run(half, tmp_path / "half.onnx", "--option", "add=3", "--atol", "2")
    assert ran.returncode == 0
    assert f"written: {tmp_path / 'half.onnx'}" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["half.half", "half.bin"], "must end in .onnx"),
        (["half.half", "no/half.onnx"], "there is no folder"),
        (["half.half", "half.onnx", "--signature", "both"], "its converter cannot take it (KeyError: 'both')"),
        (["half.half", "half.onnx", "--opset", "13"], "what it wrote cannot be loaded"),
        (["x.echo", "x.onnx", "--signature", "int64"], "nothing converts models of the runtime 'echo'; there are"),
        (["x.sleep", "x.onnx"], "a package that its converter needs is missing; install it with: pip install"),
    ],
)
def test_what_cannot_be_converted_is_told(
    run: Run, half: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "x.echo").write_text("int64")
    (tmp_path / "x.sleep").touch()
    source, target, *options = arguments
    ran = run(tmp_path / source, tmp_path / target, *options)
    assert ran.returncode in (1, 2)
    assert reason in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*.onnx"))


def test_the_options_of_model_toml_reach_the_converter(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "half"
    folder.mkdir(parents=True)
    (folder / "half.half").write_text("half")
    (folder / "model.toml").write_text("[options]\nadd = 3")
    ran = run(folder, tmp_path / "half.onnx")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "1.00e+00" in ran.stdout, "the converter was told to add 3, which the runtime does not do"
