"""``mlbuffet serve`` as a process of its own: progress, a table, answers, and a clean end."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from processes import address_of, environment_with, read_until, serve
from redis_server import redis_server
from small_runtimes import write_models
from waiting import wait_for


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_models_are_served_until_a_signal_ends_it(
    environment: dict[str, str], models: Path, stop: signal.Signals, status: int
) -> None:
    process = serve(environment, models)
    shown = read_until(process, "serving on")
    address = re.findall(r"http://127\.0\.0\.1:\d+", shown)[0]
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    answer = httpx.post(f"{address}/v2/models/good/infer", json={"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == [2.5]
    assert httpx.get(f"{address}/v2/models/bad").status_code == 503
    process.send_signal(stop)
    _, err = process.communicate(timeout=10)
    assert process.returncode == status
    assert re.search(r"good +1 +half +READY +\d\.\d\d s +serving_default, both", shown)
    assert re.search(r"bad +1 +UNAVAILABLE .*see below.*ValueError: cannot read", shown, re.DOTALL)
    assert "loading good (version 1) ..." in err
    assert "the plugin 'lost' is broken and left out: ModuleNotFoundError" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("options", [[], ["--no-fast-path"], ["--no-fast-path", "--workers", "2"]], ids=" ".join)
def test_answers_are_the_same_without_the_fast_path(
    environment: dict[str, str], models: Path, options: list[str]
) -> None:
    process = serve(environment, models, *options)
    bodies = {
        "/v2/models/good/infer": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]},
        "/v1/models/good:predict": {"instances": [1]},
        "/api/v1/models/good/prediction": {"values": [1]},
        "/v1/models/lost:predict": {"instances": [1]},
    }
    with httpx.Client(base_url=address_of(process)) as client:
        answers = [client.post(path, json=body) for path, body in bodies.items() for _ in range(40)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert {answer.status_code for answer in answers[:120]} == {200}
    assert {answer.status_code for answer in answers[120:]} == {404}
    assert all("2.5" in answer.text for answer in answers[:120])
    assert all(len(answer.headers["x-request-id"]) == 16 for answer in answers)


def test_every_model_that_can_is_batched_if_asked(environment: dict[str, str], models: Path) -> None:
    (models / "nap.sleep").touch()
    process = serve(environment, models, "--batching", "--json")
    address = json.loads(read_until(process, "\n}\n"))["address"]
    sizes = [httpx.get(f"{address}/v2/models/{name}/config").json()["max_batch_size"] for name in ("good", "nap")]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert sizes == [32, 0]


def test_a_machine_reads_what_is_served_as_json(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--json")
    listed = json.loads(read_until(process, "\n}\n"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    bad, good = listed["models"]
    assert listed["imports"] == {}
    assert listed["address"].startswith("http://127.0.0.1:")
    assert (good["name"], good["version"], good["state"], good["runtime"]) == ("good", 1, "READY", "half")
    assert good["signatures"] == ["serving_default", "both"]
    assert (bad["state"], "ValueError: cannot read" in bad["reason"]) == ("UNAVAILABLE", True)


def test_a_state_has_one_name_wherever_it_is_shown(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--json")
    started = json.loads(read_until(process, "\n}\n"))
    index = httpx.post(f"{started['address']}/v2/repository/index").json()
    command = [sys.executable, "-m", "mlbuffet", "models", "--json", "--url", started["address"]]
    listed = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    for versions in (started["models"], index, listed["models"]):
        assert {one["name"]: one["state"] for one in versions} == {"bad": "UNAVAILABLE", "good": "READY"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["bad.half"],
            "error: '{models}/bad.half' cannot be loaded by the runtime 'half': the runtime refused it (ValueError",
        ),
        (["bad.half", "worse.half"], "error: not one of the models could be loaded: '{models}/bad.half'"),
    ],
)
def test_where_nothing_loads_there_is_nothing_to_serve(
    environment: dict[str, str], models: Path, names: list[str], message: str
) -> None:
    (models / "worse.half").write_text("corrupt")
    process = serve(environment, *(models / name for name in names))
    out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert out == ""
    assert message.format(models=models) in err
    assert "Traceback" not in err


def test_a_port_in_use_is_told_in_one_line(environment: dict[str, str], models: Path) -> None:
    first = serve(environment, models)
    port = re.findall(r"http://127\.0\.0\.1:(\d+)", read_until(first, "serving on"))[0]
    second = serve(environment, models, "--port", port)
    _, err = second.communicate(timeout=10)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=10)
    assert second.returncode == 2
    assert err == f"error: port {port} of 127.0.0.1 is in use; stop what listens there, or choose another with --port\n"


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine; choose another with --host"),
        ("a..b", "'a..b' is no address of this machine, and no name of one; choose"),
        ("no-such-name.invalid", "'no-such-name.invalid' is no address of this machine, and no name of one; choose"),
    ],
)
def test_an_address_of_another_machine_is_told_in_one_line(
    environment: dict[str, str], models: Path, host: str, message: str
) -> None:
    process = serve(environment, models, "--host", host)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {message}")


def test_a_person_at_a_terminal_sees_a_bar_while_models_load(environment: dict[str, str], models: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlbuffet", "serve", "--port", "0", models],
        env={**environment, "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    seen = b""
    deadline = time.monotonic() + 20
    while b"serving on" not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    os.close(ours)
    os.close(theirs)
    assert "━".encode() in seen
    assert re.search(rb"loading (good|bad) \(version 1\)", seen)


def test_what_was_accepted_is_answered_after_sigterm(environment: dict[str, str], models: Path) -> None:
    (models / "a").mkdir()
    (models / "a/a.sleep").touch()
    (models / "a/model.toml").write_text("[scheduling]\nmax_concurrency = 9")
    process = serve(environment, models / "a", "--grace", "20")
    address = address_of(process)
    with ThreadPoolExecutor(8) as pool, httpx.Client(base_url=address) as client:
        slow = [pool.submit(client.post, "/v1/models/a:predict", json={"inputs": 2}) for _ in range(8)]
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        while client.get("/v2/health/ready").status_code == 200:
            time.sleep(0.01)
        assert client.post("/v1/models/a:predict", json={"inputs": 0}).json() == {"outputs": 0.0}
        assert [future.result().json() for future in slow] == [{"outputs": 2.0}] * 8
    assert process.communicate(timeout=10)[1].count("\n") <= 2  # what is loaded, and the plugin that is broken
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_body_that_never_comes_does_not_hold_the_server(
    environment: dict[str, str], models: Path, stop: signal.Signals
) -> None:
    process = serve(environment, models, "--grace", "2")
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", read_until(process, "serving on"))[0])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v2/models/good/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.2)
        process.send_signal(stop)
        process.communicate(timeout=4)


def test_a_call_that_never_ends_does_not_hold_the_server(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.sleep").touch()
    process = serve(environment, tmp_path / "a.sleep", "--grace", "2")
    port = int(re.findall(r"http://127\.0\.0\.1:(\d+)", read_until(process, "serving on"))[0])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        body = b'{"inputs": 600}'
        connection.sendall(
            b"POST /v1/models/a:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert "a call to a model did not end in time, and is given up" in process.communicate(timeout=4)[1]
    assert process.returncode == 1


def test_limits_are_set_on_the_command_line(environment: dict[str, str], models: Path, tmp_path: Path) -> None:
    (models / "a.sleep").touch()
    process = serve(environment, models, "--max-body", "1KiB", "--request-timeout", "0.1")
    address = address_of(process)
    assert httpx.post(f"{address}/v1/models/a:predict", json={"inputs": 0.5}).status_code == 504
    assert httpx.post(f"{address}/v1/models/a:predict", content=bytes(1025)).status_code == 413
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


@pytest.mark.parametrize("workers", [1, 2])
def test_limits_of_the_command_line_are_those_of_models_that_say_nothing(
    environment: dict[str, str], models: Path, workers: int
) -> None:
    for name in "ab":
        (models / name).mkdir()
        (models / name / "model.sleep").touch()
    (models / "b/model.toml").write_text("[scheduling]\nmax_queue = 100")
    process = serve(environment, models, "--max-concurrency", 1, "--max-queue", 0, "--workers", workers)
    address = address_of(process)

    def statuses(model: str) -> list[int]:
        def ask(_: int) -> int:
            return httpx.post(f"{address}/v1/models/{model}:predict", json={"inputs": 0.1}).status_code

        with ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(ask, range(8)))

    begun = time.monotonic()
    assert statuses("b") == [200] * 8
    assert time.monotonic() - begun > 0.8 / workers - 0.01
    assert 503 in statuses("a")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_machines_read_the_log_and_find_a_request_by_its_id(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--log-format", "json", "--access-log")
    address = re.findall(r"http://127\.0\.0\.1:\d+", read_until(process, "serving on"))[0]
    x = {"name": "x", "shape": [1], "datatype": "FP32", "data": [666]}
    failed = httpx.post(f"{address}/v2/models/good/infer", json={"inputs": [x]}, headers={"X-Request-Id": "mine-7"})
    lost = httpx.get(f"{address}/v2/models/no%0Asuch")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("request_id") == "mine-7"]
    assert [line["logger"] for line in mine] == ["mlbuffet.server.errors", "mlbuffet.access"]
    assert "a secret of the inside" in mine[0]["message"]
    assert (mine[1]["status"], mine[1]["model"], mine[1]["version"], mine[1]["client"]) == (500, "good", 1, "127.0.0.1")
    assert 0 < mine[1]["milliseconds"] < 10_000
    assert failed.headers["x-request-id"] == "mine-7"
    (last,) = [line for line in lines if line.get("request_id") == lost.headers["x-request-id"]]
    assert (last["path"], last["status"], "model" in last) == ("/v2/models/no%0Asuch", 404, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", last["time"])


def test_people_find_the_id_of_a_request_at_the_end_of_a_line(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models)
    address = re.findall(r"http://127\.0\.0\.1:\d+", read_until(process, "serving on"))[0]
    x = {"name": "x", "shape": [1], "datatype": "FP32", "data": [666]}
    failed = httpx.post(f"{address}/v2/models/good/infer", json={"inputs": [x]})
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    (line,) = [line for line in err.splitlines() if failed.headers["x-request-id"] in line]
    assert line.startswith("WARNING mlbuffet.server.errors: POST /v2/models/good/infer: the runtime 'half' failed")
    assert line.endswith(f" [request {failed.headers['x-request-id']}]")


def test_a_cache_has_a_size_and_may_be_in_redis(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.half").write_text("half")
    (tmp_path / "m/model.toml").write_text("[cache]")
    with redis_server() as redis:
        process = serve({**environment, "MLBUFFET_CACHE_REDIS": redis.url}, tmp_path / "m", "--cache-memory", "900")
        address = re.findall(r"http://127\.0\.0\.1:\d+", read_until(process, "serving on"))[0]
        while "mlbuffet_cache_redis_up 1.0" not in httpx.get(f"{address}/metrics").text:
            time.sleep(0.02)
        x = 0
        while redis.ask(b"DBSIZE") in (b":0", b":1"):  # it takes what it has time for
            x += 1
            httpx.post(f"{address}/v1/models/m:predict", json={"instances": [x]}).raise_for_status()
        assert "mlbuffet_cache_entries 1.0" in httpx.get(f"{address}/metrics").text
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_an_address_of_no_redis_is_told_in_one_line(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--cache-redis", "http://127.0.0.1")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert err.startswith("error: Invalid value: --cache-redis: Redis URL must specify one of")
    assert err.count("\n") == 1


def test_a_size_that_is_none_is_told_in_one_line(environment: dict[str, str], models: Path) -> None:
    _, err = serve(environment, models, "--max-body", "64MX").communicate(timeout=10)
    assert err == (
        "error: Invalid value for '--max-body': '64MX' is no size; "
        "write a whole number of bytes, or such as 500KB, 64MiB or 1GiB\n"
    )


def test_models_that_come_are_served_by_a_server_that_started_without(
    environment: dict[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "watched"
    root.mkdir()
    process = serve(environment, root, "--watch", "--max-loaded", "1", "--max-memory", "1MB")
    address = address_of(process)
    (root / "late.half").write_text("half")
    deadline = time.monotonic() + 10
    while httpx.get(f"{address}/v2/models/late").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_url_that_cannot_be_copied_is_told_in_one_line(environment: dict[str, str]) -> None:
    process = serve(environment, "nosuch://models")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "error: 'nosuch://models' cannot be copied: ValueError: Protocol not known: nosuch"


def test_with_a_token_models_are_uploaded_to_a_server_that_started_without(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "token").write_text("secret\n")
    process = serve(environment, tmp_path / "models", "--admin-token-file", tmp_path / "token", "--max-upload", "1KiB")
    with httpx.Client(base_url=address_of(process), timeout=30) as client:
        address = "/api/v1/models/iris?filename=x.half"
        assert client.put(address, content=b"half").status_code == 401
        client.headers["authorization"] = "Bearer secret"
        assert client.put(address, content=b"half").status_code == 201
        assert client.put(address, content=bytes(1025)).status_code == 413
        assert client.post("/v1/models/iris:predict", json={"instances": [1]}).json() == {"predictions": [2.5]}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert (tmp_path / "models/iris/1/model.half").read_text() == "half"


def test_models_are_uploaded_to_the_first_folder_of_models_of_this_machine(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    (tmp_path / "single.half").write_text("half")
    process = serve(environment, tmp_path / "single.half", models)
    with httpx.Client(base_url=address_of(process), timeout=30) as client:
        assert client.put("/api/v1/models/iris?filename=x.half", content=b"half").status_code == 201
        assert client.put("/api/v1/models/single?filename=x.half", content=b"half").json()["version"] == 2
        assert client.delete("/api/v1/models/single:1").status_code == 409
        assert client.delete("/api/v1/models/single:2").status_code == 200
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert (models / "iris/1/model.half").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "must hold a token, such as: openssl rand"),
        (b" \n", "must hold a token"),
        (b"two words", "must hold a token"),
        ("ä".encode(), "must hold a token"),
        (b"\xff", "cannot be read: it is not text"),
    ],
)
def test_a_file_without_a_token_is_told_in_one_line(
    environment: dict[str, str], models: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    process = serve(environment, models, "--admin-token-file", tmp_path / "token")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert (err.count("\n"), message in err) == (1, True)


@pytest.mark.parametrize(("flags", "client"), [([], "127.0.0.1"), (["--trusted-proxy", "127.0.0.0/8"], "192.0.2.7")])
def test_a_forwarded_address_is_believed_from_a_trusted_proxy_alone(
    environment: dict[str, str], models: Path, flags: list[str], client: str
) -> None:
    process = serve(environment, models, "--access-log", *flags)
    url = address_of(process)
    httpx.get(f"{url}/v2", headers={"X-Forwarded-For": "192.0.2.7"})
    httpx.get(f"{url}/v1", headers={"X-Forwarded-For": "1.2.3.4 GET /admin 200"})
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert f"{client} GET /v2 200" in err
    assert "/admin" not in err


def test_a_trusted_proxy_is_an_address_or_a_network(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--trusted-proxy", "proxy.example")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "'proxy.example' does not appear to be an IPv4 or IPv6 network; write an address" in err


def test_a_read_only_server_takes_no_push(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--read-only")
    command = [sys.executable, "-m", "mlbuffet", "push", "new", str(models / "good.half")]
    command += ["--url", address_of(process)]
    pushed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert pushed.returncode == 1
    assert "this server is read-only (--read-only)" in pushed.stderr
    assert sorted(path.name for path in models.iterdir()) == ["bad.half", "good.half"]


@pytest.mark.parametrize("form", [[], ["--log-format", "json"]])
def test_a_daemon_may_close_what_it_would_write_to(environment: dict[str, str], models: Path, form: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlbuffet", "serve", str(models), "--port", str(port), *form]
    process = subprocess.Popen(["/bin/sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *command], env=environment)
    wait_for(lambda: answers(port))
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/models/good:predict", json={"instances": [1]})
    assert answer.json() == {"predictions": [2.5]}
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_debugging_shows_what_is_logged_for_it(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models, "--debug")
    read_until(process, "serving on")
    process.send_signal(signal.SIGINT)
    assert "DEBUG mlbuffet.repository.version: version 1 of the model 'bad'" in process.communicate(timeout=10)[1]


def test_a_path_may_be_served_under_a_name_and_be_watched(environment: dict[str, str], tmp_path: Path) -> None:
    mounted = tmp_path / "mnt/models"
    (mounted / "1").mkdir(parents=True)
    (mounted / "1/model.half").write_text("half")
    (tmp_path / "wine.half").write_text("half")
    (tmp_path / "wine.toml").write_text('description = "Red"')
    process = serve(environment, f"iris={mounted}", tmp_path / "wine.half", "--watch")
    with httpx.Client(base_url=address_of(process), timeout=30) as client:
        assert client.get("/v2/models").json() == client.get("/v2/models").json()
        assert client.get("/v1/models/iris").status_code == client.get("/v1/models/wine").status_code == 200
        (mounted / "2").mkdir()
        (mounted / "2/model.half").write_text("half")
        wait_for(lambda: client.get("/v2/models/iris/versions/2/ready").status_code == 200)
        (mounted / "model.toml").write_text('versions = "latest"')
        wait_for(lambda: client.get("/v2/models/iris/versions/1/ready").status_code == 404)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "ignored" not in err


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["a b={models}"], "error: 'a b={models}' cannot be served: 'a b' cannot be a model's name"),
        (["iris={models}"], "error: 'iris={models}' cannot be served: it holds several models: bad, good; serve"),
        (["x={models}/a", "x={models}/b"], "error: 'x=...' cannot be served: 2 places are called 'x'"),
        (["x={models}/none"], "error: there is no file or folder at '{models}/none'"),
    ],
)
def test_a_name_that_cannot_be_given_is_told(
    environment: dict[str, str], models: Path, places: list[str], message: str
) -> None:
    process = serve(environment, *(place.format(models=models) for place in places))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert message.format(models=models) in err


@pytest.mark.parametrize(
    ("options", "runtime"),
    [([], None), (["--prefer", "lost,both,half"], "both"), (["--runtime", "half", "--prefer", "both"], "half")],
    ids=str,
)
def test_what_is_preferred_decides_and_hides_no_model(tmp_path: Path, options: list[str], runtime: str | None) -> None:
    kinds = {"both": "Both", "half": "HalfPlusTwo", "sleep": "Sleep"}
    environment = environment_with(
        tmp_path / "site", [f"{name} = small_runtimes:{kind}" for name, kind in kinds.items()]
    )
    root = write_models(tmp_path / "models", {"flat.half": "half", "nap.sleep": "", "told/1/model.sleep": ""})
    process = serve(environment, root, "--json", *options)
    listed = json.loads(read_until(process, "\n}\n"))["models"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    runtimes = {one["name"]: one.get("runtime") for one in listed}
    assert runtimes == {"flat": runtime, "nap": "sleep", "told": "sleep"}
    if runtime is None:
        assert "several runtimes accept" in listed[0]["reason"]
        assert "--prefer both,half" in listed[0]["reason"]
    assert ("the runtime 'lost', which is preferred, is not installed; there are: both, " in err) == (
        "lost,both,half" in options
    )
