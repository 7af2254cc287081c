"""With ``--log-format json`` a server writes nothing else, whatever happens to it."""

import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from processes import environment_with, read_until, serve
from waiting import wait_for


@pytest.fixture
def noisy(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which runtimes are installed, one of which writes wherever it can."""
    kinds = {"half": "small_runtimes:HalfPlusTwo", "sleep": "small_runtimes:Sleep", "noisy": "noisy_runtime:Noisy"}
    return environment_with(tmp_path / "site", [f"{name} = {kind}" for name, kind in kinds.items()])


def objects(text: str) -> list[dict[str, Any]]:
    """Each line as the object that it must be."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in found)
    return found


def served(process: subprocess.Popen[str]) -> dict[str, Any]:
    (one,) = objects(read_until(process, "serving on"))
    return one


@pytest.mark.parametrize("flags", [[], ["--workers", "2"], ["--json", "--access-log"]])
def test_every_line_is_an_object(noisy: dict[str, str], models: Path, flags: list[str]) -> None:
    (models / "a.noisy").touch()
    process = serve(noisy, models, "--log-format", "json", *flags)
    started = served(process)
    assert {one["name"]: one["state"] for one in started["models"]} == {
        "a": "READY",
        "bad": "UNAVAILABLE",
        "good": "READY",
    }
    url = f"{started['address']}/v1/models"
    assert httpx.post(f"{url}/a:predict", json={"inputs": [1]}).status_code == 200
    assert httpx.post(f"{url}/good:predict", json={"inputs": [666]}).status_code == 500
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    lines = objects(out) + objects(err)
    messages = " ".join(line["message"] for line in lines)
    assert all(word in messages for word in ("loading a", "cannot read", "a secret of the inside"))
    assert {"printed", "to descriptor 1", "to descriptor 2", "to stderr"} <= {line["message"] for line in lines}
    assert "a warning of a library" in messages
    assert any("a thread fails" in line.get("traceback", "") for line in lines)


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--port", "no-number"], 2, "'no-number' is not a whole number"),
        (["--no-such-flag"], 2, "No such option"),
        (["--max-body", "much"], 2, "'much' is no size"),
        (["--runtime", "nobody"], 2, "there is no runtime 'nobody'"),
    ],
)
def test_what_is_fatal_is_an_object(
    noisy: dict[str, str], models: Path, flags: list[str], status: int, message: str
) -> None:
    process = serve(noisy, models, "--log-format", "json", *flags)
    out, err = process.communicate(timeout=20)
    (line,) = objects(err)
    assert (process.returncode, out, line["level"], message in line["message"]) == (status, "", "CRITICAL", True)


def test_a_port_in_use_and_models_that_all_fail_are_objects(noisy: dict[str, str], models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = serve(noisy, models, "--log-format=json", "--port", port)
        _, err = process.communicate(timeout=20)
    (line,) = objects(err)
    assert (
        line["message"] == f"port {port} of 127.0.0.1 is in use; stop what listens there, or choose another with --port"
    )
    process = serve(noisy, models / "bad.half", "--log-format", "json")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert objects(err)[-1]["message"].startswith(f"'{models}/bad.half' cannot be loaded")


def test_a_log_for_people_is_not_broken_where_it_is_no_terminal(noisy: dict[str, str], tmp_path: Path) -> None:
    name = "a-very-long-name-" * 7
    folder = tmp_path / ("folder-" * 20)
    folder.mkdir()
    for text in ("half", "corrupt"):
        (folder / f"{text}-{name}.half").write_text(text)
    process = serve({**noisy, "COLUMNS": "80"}, folder)
    shown = read_until(process, "serving on")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert f"half-{name}" in shown
    assert f"'{folder}/corrupt-{name}.half' cannot be loaded" in shown
    assert f"loading half-{name} (version 1) ...\n" in err


def test_a_broken_file_is_not_told_at_length_again(noisy: dict[str, str], models: Path) -> None:
    process = serve(noisy, models, "--log-format", "json")
    url = served(process)["address"]
    time.sleep(3.5)  # two more tries, after 1 and 2 seconds
    (models / "bad.half").write_text("half")
    wait_for(lambda: httpx.get(f"{url}/v2/models/bad/ready").status_code == 200)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    messages = [line["message"] for line in objects(err) if "'bad'" in line["message"]]
    first, *others = messages
    assert "ValueError: cannot read" in first
    assert others[-1] == "version 1 of the model 'bad' can be loaded again"
    assert others[:2] == [f"version 1 of the model 'bad' still cannot be loaded; next try in {n} s" for n in (2, 4)]


@pytest.mark.parametrize("path", ["/v1/models/a:predict", "/v2/models/a/infer", "/api/v1/models/a/prediction"])
def test_a_request_that_grace_cuts_off_is_told_so(noisy: dict[str, str], tmp_path: Path, path: str) -> None:
    (tmp_path / "a.sleep").touch()
    process = serve(noisy, tmp_path / "a.sleep", "--log-format", "json", "--grace", "2")
    url = served(process)["address"]
    tensor = {"name": "x", "shape": [], "datatype": "FP32", "data": [600]}
    body = {"/v1": {"inputs": 600}, "/v2": {"inputs": [tensor]}, "/ap": {"values": 600}}[path[:3]]
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.post, url + path, json=body, timeout=20)
        running = 'mlbuffet_calls_running{model="a",version="1"} 1.0'
        wait_for(lambda: running in httpx.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGTERM)
        cut = answer.result()
    _, err = process.communicate(timeout=20)
    assert (cut.status_code, cut.headers["connection"]) == (503, "close")
    assert "the server was stopped" in json.dumps(cut.json())
    assert "CancelledError" not in err
    assert "ASGI" not in err
    objects(err)


def test_a_library_that_writes_much_while_it_holds_the_gil_does_not_stop_the_server(
    noisy: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "a.noisy").write_text("loud")
    process = serve(noisy, tmp_path / "a.noisy", "--log-format", "json")
    assert served(process)["models"][0]["state"] == "READY"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert any(one["message"] == "x" * 119 for one in objects(err))
