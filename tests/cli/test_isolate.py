"""``mlbuffet serve`` with models in processes of their own."""

import json
import os
import signal
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from processes import address_of, environment_with, read_until, serve
from waiting import wait_for


@pytest.fixture
def installed_bad(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the runtimes are installed whose models misbehave, and say who they are."""
    entries = ["bad = misbehaving:Misbehaving", "process = small_runtimes:ProcessId"]
    return environment_with(tmp_path / "site", entries)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    for name in ("bad.bad", "a.process"):
        (path / name).touch()
    return path


def ask(address: str, what: str, request_id: str = "") -> httpx.Response:
    body = {"inputs": {"what": [what]}}
    headers = {"X-Request-Id": request_id} if request_id else {}
    return httpx.post(f"{address}/v1/models/bad:predict", json=body, headers=headers, timeout=60)


def pid_of(address: str) -> int:
    answer = httpx.post(f"{address}/v1/models/a:predict", json={"inputs": {"x": 0}}, timeout=60)
    return int(answer.json()["outputs"])


def end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM), err
    return err


def test_each_model_has_a_process_of_its_own_and_crashes_alone(installed_bad: dict[str, str], root: Path) -> None:
    process = serve(installed_bad, root, "--isolate")
    address = address_of(process)
    pid = pid_of(address)
    assert pid != process.pid
    answer = ask(address, "segfault")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"].startswith("version 1 of the model 'bad' gave no answer: its process ended (SIGSEGV)")
    assert pid_of(address) == pid
    assert ask(address, "echo well").json() == {"outputs": ["well"]}
    answer = ask(address, "segfault")
    assert answer.status_code == 500
    assert "they" not in answer.json()["error"].partition(";")[0]
    metrics = httpx.get(f"{address}/metrics").text
    assert 'mlbuffet_process_instances{model="a",version="1"} 1.0' in metrics
    assert 'mlbuffet_process_restarts_total{model="bad",version="1"} 1.0' in metrics
    err = end(process)
    assert "Fatal Python error: Segmentation fault" in err
    assert not psutil.pid_exists(pid)


def test_lines_of_a_json_log_are_objects(installed_bad: dict[str, str], root: Path) -> None:
    process = serve(installed_bad, root, "--isolate", "--log-format", "json")
    address = json.loads(read_until(process, "serving on"))["address"]
    ask(address, "print from within")
    ask(address, "log of it", "r-1")
    ask(address, "abort")
    lines = [json.loads(line) for line in end(process).splitlines()]
    messages = {line["message"]: line for line in lines}
    assert "from within" in messages
    assert messages["it says of it [request r-1]"]["logger"] == "misbehaving"
    (crash,) = [line for line in lines if "SIGABRT" in line["message"] and line["logger"] == "mlbuffet.process"]
    assert "in obey" in crash["traceback"]
    assert "\n" not in crash["message"]


def test_processes_end_with_a_server_that_is_killed(installed_bad: dict[str, str], root: Path) -> None:
    process = serve(installed_bad, root, "--isolate")
    pid = pid_of(address_of(process))
    children = psutil.Process(process.pid).children(recursive=True)
    assert pid in [one.pid for one in children]
    shared = os.listdir("/dev/shm")  # noqa: PTH208 only names
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children), 60)
    assert not [one for one in os.listdir("/dev/shm") if one not in shared and "mlbuffet" in one]  # noqa: PTH208


def test_each_worker_has_processes_of_its_own(installed_bad: dict[str, str], root: Path) -> None:
    process = serve(installed_bad, root, "--isolate", "--workers", "2")
    address = address_of(process)
    pids: set[int] = set()
    wait_for(lambda: pids.add(pid_of(address)) or len(pids) == 2, 60)  # type: ignore[func-returns-value]
    end(process)
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), 60)


def test_what_models_started_goes_when_the_next_server_starts(
    installed_bad: dict[str, str], root: Path, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    environment = {**installed_bad, "TMPDIR": str(tmp_path / "temporary")}
    process = serve(environment, root, "--isolate")
    started = ask(address_of(process), "run sleep 600 > /dev/null 2>&1 & echo $! > $TMPDIR/started")
    assert started.json() == {"outputs": ["0"]}
    (said,) = (tmp_path / "temporary").rglob("started")
    sleeping = psutil.Process(int(said.read_text()))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert sleeping.is_running()
    process = serve(environment, root, "--isolate")
    address_of(process)
    sleeping.wait(20)
    end(process)
