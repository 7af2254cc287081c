"""What is said of a server that a model crashed: which models and requests were running."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from processes import address_of, environment_with, read_until, serve
from waiting import wait_for
from workers import wait_until, workers_of


@pytest.fixture
def crashing(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the runtime is installed whose models crash."""
    return environment_with(tmp_path / "site", ["crash = crashing_runtime:Crashing"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


def ask(address: str, model: str, x: float, request_id: str) -> None:
    with suppress(httpx.TransportError):
        body = {"inputs": {"x": [x]}}
        httpx.post(f"{address}/v1/models/{model}:predict", json=body, headers={"X-Request-Id": request_id}, timeout=20)


def monitor_of(process: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(process.pid).children()
    (monitor,) = [one for one in children if "running_calls.py" in " ".join(one.cmdline())]
    return monitor


@pytest.mark.parametrize(
    ("how", "number"),
    [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT)]
    + [(one.name, one) for one in (signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGKILL)],
)
def test_what_a_process_was_running_is_said_when_a_call_ends_it(
    crashing: dict[str, str], root: Path, how: str, number: int
) -> None:
    (root / "a.crash").write_text(f"{how} in predict")
    process = serve(crashing, root)
    address = address_of(process)
    monitor = monitor_of(process)
    ask(address, "a", 0, "well")
    ask(address, "a", -1, "bad-1")
    _, err = process.communicate(timeout=20)
    assert process.returncode == -number
    (line,) = [line for line in err.splitlines() if line.startswith("ERROR")]
    what = "predict of 'a' (version 1, signature 'serving_default') [request bad-1]"
    assert line == f"ERROR mlbuffet.running: the process {process.pid} ended while it ran {what}"
    if number != signal.SIGKILL:
        assert "Fatal Python error" in err
        assert re.search(r'"[^"]*running_calls.py", line \d+ in predict of \'a\' \(version 1\)', err)
    wait_until(lambda: not monitor.is_running())


def test_the_small_request_that_is_answered_on_the_event_loop_is_named_too(
    crashing: dict[str, str], root: Path
) -> None:
    (root / "a.crash").write_text("segfault in predict")
    process = serve(crashing, root)
    address = address_of(process)
    with httpx.Client(base_url=address) as client, suppress(httpx.TransportError):
        for x, name in [*[(0.0, "well")] * 200, (-1.0, "bad")]:
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [x]}]}
            client.post("/v2/models/a/infer", json=body, headers={"X-Request-Id": name})
    _, err = process.communicate(timeout=20)
    assert "signature 'serving_default') [request bad]" in err
    assert "in infer_now" in err


def test_a_signal_that_another_thread_gets_names_the_call_that_was_the_last(
    crashing: dict[str, str], root: Path
) -> None:
    (root / "a.crash").write_text("SIGBUS in predict")
    process = serve(crashing, root)
    ask(address_of(process), "a", -2, "bad")
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGBUS
    assert "predict of 'a' (version 1, signature 'serving_default') [request bad]\n" in err


def test_a_batch_names_all_its_requests_and_what_else_ran_is_named(crashing: dict[str, str], root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
        (root / name / "model.crash").write_text("segfault in predict")
    (root / "a/model.toml").write_text(
        "[batching]\nmax_size = 8\nmax_delay_ms = 300\n[scheduling]\nmax_concurrency = 1"
    )
    process = serve(crashing, root, "--log-format", "json")
    address = address_of(process)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(ask, address, "b", 15, "slow")
        running = 'mlbuffet_calls_running{model="b",version="1"} 1.0'
        wait_for(lambda: running in httpx.get(f"{address}/metrics").text)
        for number, x in enumerate([0, 0, -1]):
            pool.submit(ask, address, "a", x, f"r{number}")
        _, err = process.communicate(timeout=20)
    lines = [json.loads(line) for line in err.splitlines()]
    crash, *calls = [line for line in lines if line["logger"] == "mlbuffet.running"]
    assert crash["message"] == f"the process {process.pid} crashed: Fatal Python error: Segmentation fault"
    assert "in predict of 'a' (version 1)" in crash["traceback"]
    assert {(call["model"], *sorted(call["request_ids"])) for call in calls} == {("a", "r0", "r1", "r2"), ("b", "slow")}
    assert {(call["level"], call["activity"], call["version"]) for call in calls} == {("ERROR", "predict", 1)}


@pytest.mark.parametrize("when", ["load", "unload"])
def test_a_model_that_crashes_when_it_comes_or_goes_is_named(crashing: dict[str, str], root: Path, when: str) -> None:
    (root / "a.crash").write_text(f"abort in {when}")
    process = serve(crashing, root)
    if when == "unload":
        address = address_of(process)
        with suppress(httpx.TransportError):
            httpx.post(f"{address}/v2/repository/models/a/unload", headers={"X-Request-Id": "u-1"})
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGABRT
    asked = " [request u-1]" if when == "unload" else ""
    line = f"ERROR mlbuffet.running: the process {process.pid} ended while it ran {when} of 'a' (version 1){asked}\n"
    assert line in err


def test_the_supervisor_names_what_its_worker_was_running_and_starts_another(
    crashing: dict[str, str], root: Path
) -> None:
    (root / "a.crash").write_text("SIGBUS in predict")
    process = serve(crashing, root, "--workers", 2)
    address = address_of(process)
    ask(address, "a", -1, "bad")
    wait_until(lambda: len(workers_of(process)) == 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    what = r"predict of 'a' \(version 1, signature 'serving_default'\) \[request bad\]"
    found = re.search(rf"ERROR mlbuffet.running: the process (\d+) ended while it ran {what}\n", err)
    assert found
    assert f"the worker {found[1]} ended (signal {signal.SIGBUS.value}); another starts in 1 s" in err
    assert "Fatal Python error: Bus error" in err
    assert err.count("mlbuffet.running:") == 1


def test_a_load_that_crashes_the_first_worker_is_named(crashing: dict[str, str], root: Path) -> None:
    (root / "a.crash").write_text("abort in load")
    process = serve(crashing, root, "--workers", 2, "--log-format", "json")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    crash, load, end = [line for line in map(json.loads, err.splitlines()) if line["level"] == "ERROR"]
    assert "Fatal Python error: Aborted" in crash["traceback"]
    assert (load["activity"], load["model"], load["request_ids"]) == ("load", "a", [])
    assert end["message"].endswith("before it had loaded")


def test_faulthandler_that_was_asked_for_writes_no_other_lines_than_json(crashing: dict[str, str], root: Path) -> None:
    (root / "a.crash").write_text("segfault in load")
    process = serve({**crashing, "PYTHONFAULTHANDLER": "1"}, root, "--log-format", "json")
    _, err = process.communicate(timeout=20)
    crash, load = [line for line in map(json.loads, err.splitlines()) if line["level"] == "ERROR"]
    assert "in load of 'a' (version 1)" in crash["traceback"]
    assert (load["activity"], load["model"]) == ("load", "a")


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_the_first_process_of_a_container_names_the_model_although_nobody_survives_it(
    crashing: dict[str, str], root: Path, log_format: str
) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a namespace of processes")
    (root / "a.crash").write_text("segfault in load")
    command = [sys.executable, "-m", "mlbuffet", "serve", "--port", "0", str(root), "--log-format", log_format]
    done = subprocess.run([*alone, *command], env=crashing, capture_output=True, text=True, timeout=20)
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in load of 'a' (version 1)" in done.stderr


def test_a_hangup_ends_a_server_without_certificates_and_is_no_crash(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "http.sock"
    process = serve(environment, models / "good.half", "--uds", path)
    read_until(process, "serving on")
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGHUP
    assert "ended" not in err
    assert not path.exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_end_says_nothing_of_its_calls(
    crashing: dict[str, str], root: Path, stop: signal.Signals
) -> None:
    (root / "a.crash").write_text("abort in predict")
    process = serve(crashing, root, "--grace", 2)
    address = address_of(process)
    monitor = monitor_of(process)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, address, "a", 600, "stuck")
        time.sleep(0.3)
        monitor.send_signal(signal.SIGINT)
        process.send_signal(stop)
        _, err = process.communicate(timeout=20)
    assert "mlbuffet.running" not in err
    assert not monitor.is_running()  # nor is it a zombie
