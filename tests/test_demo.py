import importlib.util
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
PATIENCE = 300.0
BARS = {"digits-cnn": 0.97, "digits-keras": 0.95, "iris": 0.90, "iris-python": 0.90}
OTHERS = ("xgboost", "lightgbm", "catboost", "torch", "openvino", "jax")


@dataclass(frozen=True)
class Run:
    """One run of the demo, from its first line to Ctrl-C."""

    port: int
    taken: int
    output: str
    code: int
    curls: dict[str, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Training and serving take half a minute, so that every test looks at the same run."""
    models = tmp_path_factory.mktemp("demo")
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        taken = occupied.getsockname()[1]
        command = [sys.executable, str(DEMO), "--models", str(models), "--port", str(taken)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        ) as demo:
            watchdog = threading.Timer(PATIENCE, demo.terminate)
            watchdog.start()
            try:
                yield _used(demo, taken)
            finally:
                watchdog.cancel()
                demo.terminate()


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The demo as a module, with the one example that needs no TensorFlow."""
    monkeypatch.syspath_prepend(DEMO.parent)
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "EXAMPLES", [one for one in module.EXAMPLES if one.name == "iris"])
    return module


def _used(demo: "subprocess.Popen[str]", taken: int) -> Run:
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Serving on "):
            break
    curls = {shlex.split(line)[3].split("/")[-2]: _curl(line) for line in lines if line.startswith("curl ")}
    if demo.poll() is None:
        os.killpg(demo.pid, signal.SIGINT)  # a terminal sends it to the demo and to its server
    rest, _ = demo.communicate(timeout=30)
    port = re.search(r"Serving on http://127\.0\.0\.1:(\d+)", "".join(lines))
    return Run(int(port[1]) if port else 0, taken, "".join(lines) + rest, demo.returncode, curls)


def _curl(line: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "no_proxy": "*"}
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=30)


def test_the_demo_ends_cleanly_at_ctrl_c_and_takes_its_server_with_it(run: Run) -> None:
    assert run.code == 0, run.output
    assert "Traceback" not in run.output
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", run.port)) != 0


def test_another_port_is_chosen_where_the_one_asked_for_is_taken(run: Run) -> None:
    assert f"Port {run.taken} is taken; {run.port} is free." in run.output


def test_every_model_predicts_the_same_before_saving_and_after_loading(run: Run) -> None:
    proofs = re.findall(r"^Same before saving and after loading: (\d+) .* difference (\S+)$", run.output, re.MULTILINE)
    installed = [name for name in (*OTHERS, "skops", "ai_edge_litert") if importlib.util.find_spec(name)]
    assert [int(samples) for samples, _ in proofs] == [450, 450, 45, *[45 for _ in installed]]
    assert all(float(difference) < 1e-5 for _, difference in proofs)


def test_every_model_is_as_accurate_over_http_as_in_python(run: Run) -> None:
    in_python = re.findall(r"^Right about (\S+)%", run.output, re.MULTILINE)
    over_http = re.findall(r"^Over HTTP: (\S+)%", run.output, re.MULTILINE)
    assert over_http == in_python
    bars = [BARS.get(name, 0.90) for name in run.curls]
    assert all(float(found) >= 100 * bar for found, bar in zip(over_http, bars, strict=True))


def test_the_models_of_irises_are_shown_side_by_side(run: Run) -> None:
    rows = re.findall(r"^│ (iris\S*) +│ (?:setosa|versicolor|virginica) .*│ +(\S+)% │$", run.output, re.MULTILINE)
    assert [name for name, _ in rows] == [name for name in run.curls if name.startswith("iris")]
    assert set(BARS) <= set(run.curls)


@pytest.mark.parametrize("library", OTHERS)
def test_each_installed_library_has_its_model_in_the_demo(run: Run, library: str) -> None:
    is_installed = importlib.util.find_spec(library) is not None
    assert (f"iris-{library}" in run.curls) == is_installed
    assert bool(re.search(rf"^Not there without[^─]*iris-{library}", run.output, re.MULTILINE)) != is_installed
    if library == "xgboost":
        assert ("iris-pipeline" in run.curls) == is_installed


def test_digits_are_drawn_beside_what_the_models_say(run: Run) -> None:
    assert len(re.findall(r"says \d, is \d [✓✗]", run.output)) == 8
    assert len(re.findall(r"^.*██.*$", run.output, re.MULTILINE)) >= 8


@pytest.mark.parametrize("name", BARS)
def test_the_curl_line_for_a_model_works_as_it_is_printed(run: Run, name: str) -> None:
    curl = run.curls[name]
    assert curl.returncode == 0, curl.stderr
    answer = json.loads(curl.stdout)
    assert answer["model_name"] == name
    assert all(output["shape"][0] == 1 for output in answer["outputs"])


def test_once_the_demo_ends_by_itself(demo: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.run(tmp_path, _free_port(), once=True)
    output = capsys.readouterr().out
    assert "curl " in output
    assert "until Ctrl-C" not in output


def test_answers_that_differ_over_http_end_the_demo(demo: Any) -> None:
    [iris] = demo.EXAMPLES
    held = demo.Held(np.ones([2, 4]), truth=np.array(["a", "b"]), predicted=np.array(["a", "b"]))
    with pytest.raises(SystemExit, match="iris answers differently over HTTP than in Python"):
        demo.prove(iris, held, np.array(["a", "a"]))


def test_too_many_mistakes_end_the_demo(demo: Any) -> None:
    [iris] = demo.EXAMPLES
    held = demo.Held(np.ones([2, 4]), truth=np.array(["a", "b"]), predicted=np.array(["a", "a"]))
    with pytest.raises(SystemExit, match=r"iris is right too seldom: 50\.0%, it should be 90%"):
        demo.prove(iris, held, np.array(["a", "a"]))


def test_a_server_that_does_not_start_ends_the_demo_with_its_log(demo: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match=r"did not become ready(?s:.)*there is no file or folder"),
        demo.served(tmp_path / "nothing", _free_port()),
    ):
        pass


def test_a_server_that_ends_by_itself_ends_the_demo(demo: Any) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as server,
        pytest.raises(SystemExit, match="The server ended by itself"),
    ):
        demo.serve_on("http://127.0.0.1", server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
