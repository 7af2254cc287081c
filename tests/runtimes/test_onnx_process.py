"""What a process that loads an ONNX model leaves on the machine, and what it needs of it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from onnx import TensorProto, helper

PROGRAM = "import mlbuffet, sys; print(mlbuffet.load(sys.argv[1]).predict({'x': [1, 2]})['y'].tolist())"
ANSWER = "[1.0, 2.0]\n"
NO_FILE_CAN_BE_WRITTEN = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""Said by the process itself: a ``preexec_fn`` would fork this one, of which JAX warns where a test has imported it."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", [x], [y])
    path = tmp_path_factory.mktemp("models") / "same.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


@cache
def can_watch() -> bool:
    strace = shutil.which("strace")
    return strace is not None and not subprocess.run([strace, "-qq", "-o", os.devnull, "true"], check=False).returncode


@pytest.fixture(scope="module", autouse=True)
def watched(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[str]"]:
    """A process with a model, which writes its calls that concern the network to ``trace`` beside its home.

    It lives for so long because onnxruntime's telemetry begins nine seconds after its start, while other tests run.
    """
    folder = tmp_path_factory.mktemp("watched")
    program = f"{PROGRAM}; import time; time.sleep(11)"
    watch = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=openat,socket,connect,sendto,sendmsg,sendmmsg"]
    command = [*(watch if can_watch() else []), sys.executable, "-B", "-c", program, str(model)]
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def run(environment: Mapping[str, object], program: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """A process with these variables alone; what it prints, and how it ends."""
    command = [sys.executable, "-B", "-c", program, str(path)]
    variables = {name: str(value) for name, value in environment.items()}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def empty(tmp_path: Path) -> dict[str, Path]:
    """Folders in which a process leaves what it does not clean up."""
    found = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for folder in found.values():
        folder.mkdir()
    return found


def test_a_model_leaves_no_file_and_no_word(model: Path, empty: dict[str, Path], tmp_path: Path) -> None:
    ran = run(empty, PROGRAM, model)
    assert (ran.stdout, ran.stderr) == (ANSWER, "")
    assert sorted(tmp_path.rglob("*")) == sorted(empty.values())


@pytest.mark.parametrize("variables", [{}, {"HOME": "/proc/nowhere"}], ids=["none", "one that cannot be written"])
def test_without_a_home_nothing_is_said(model: Path, variables: dict[str, str]) -> None:
    ran = run(variables, PROGRAM, model)
    assert (ran.stdout, ran.stderr) == (ANSWER, "")


def test_who_wants_the_telemetry_of_onnxruntime_keeps_it(model: Path, empty: dict[str, Path]) -> None:
    run({**empty, "ORT_DISABLE_TELEMETRY": "0"}, PROGRAM, model)
    assert list(empty["TMPDIR"].iterdir())


def test_a_model_is_loaded_where_no_file_can_be_written(model: Path) -> None:
    ran = run({}, f"{NO_FILE_CAN_BE_WRITTEN}; {PROGRAM}", model)
    assert (ran.stdout, ran.stderr) == (ANSWER, "")


def test_a_model_is_loaded_without_a_word_where_nothing_can_be_kept_in_memory(model: Path) -> None:
    program = (
        f"{NO_FILE_CAN_BE_WRITTEN}; import os\n"
        "def none(name, flags=0): raise OSError(38, 'Function not implemented')\n"
        f"os.memfd_create = none\n{PROGRAM}"
    )
    ran = run({}, program, model)
    assert (ran.stdout, ran.stderr) == (ANSWER, "")


def test_tensorflow_says_what_it_lacks_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    program = f"{NO_FILE_CAN_BE_WRITTEN}; import mlbuffet, sys; mlbuffet.load(sys.argv[1], runtime='tensorflow')"
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    ran = run(environment, program, tmp_path)
    assert "takes a folder for temporary files; name one that can be written in TMPDIR" in ran.stderr


def test_no_name_is_looked_up_and_nobody_is_connected_to(
    watched: "subprocess.Popen[str]", tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not can_watch():
        pytest.skip("system calls are watched with strace, which is not here or may not")
    assert watched.communicate(timeout=60)[0] == ANSWER
    calls = next(tmp_path_factory.getbasetemp().glob("watched*/trace")).read_text()
    assert "same.onnx" in calls
    assert not re.findall(r"^.*(?:resolv\.conf|socket\(|connect\().*$", calls, re.MULTILINE)
