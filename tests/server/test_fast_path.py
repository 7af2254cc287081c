"""A quick model's answer comes without a task, and is the application's to the last byte."""

import asyncio
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from http.client import HTTPResponse
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from faults import post
from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.repository import ModelRepository, find_models
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.fast_path import protocol as fast_path_protocol
from waiting import wait_for

LIMIT = 4096
V2, V1 = "/v2/models/m/infer", "/v1/models/m:predict"


class Where:
    """Repeats x as often as it says; it keeps in what it was called, and fails at 666."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".where"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x = TensorSpec("x", np.float32, (None,))
        return Signatures({"serving_default": Signature([x], [TensorSpec("y", np.float32, (None,))])})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        if threading.current_thread() is not threading.main_thread() and _loop_runs_here():
            self.calls.append("loop" if asyncio.current_task() else "at once")
        else:
            self.calls.append("thread")
        if 666 in inputs["x"]:
            raise ValueError("a bad row")
        return {"y": np.repeat(inputs["x"], int(inputs["x"][0]))}


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def where() -> Where:
    return Where()


@pytest.fixture
def client(
    where: Where, tmp_path: Path, run_app: Callable[[Starlette], AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    """Of a server that has found the model quick."""
    (tmp_path / "m.where").touch()
    runtimes, loaded = Runtimes(), Event()
    runtimes.register(where, name="where")
    repository = ModelRepository(runtimes)
    repository.update(find_models(tmp_path / "m.where", runtimes))
    with run_app(create_app(repository, ServerSettings(max_body=LIMIT), on_loaded=loaded.set)) as client:
        assert loaded.wait(120)
        for values in ([1], [1, 1]):  # calls of one and of two numbers are of different kinds
            size = len(where.calls)
            while "at once" not in where.calls[size:]:
                assert len(where.calls) < size + 2000
                assert client.post(V2, json=v2(*values)).status_code == 200
        where.calls.clear()
        yield client


def v2(*values: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(values)], "datatype": "FP32", "data": list(values)}]}


def on_both_ways(client: httpx.Client, path: str, body: Any, **headers: str) -> list[httpx.Response]:
    """Two answers: a chunked body is for the application."""
    text = json.dumps(body).encode()
    pieces = [text[:5], text[5:]]
    return [
        client.post(path, content=text, headers=headers),
        client.post(path, content=iter(pieces), headers=headers),
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (V2, v2(1)),
        (V2, v2(100)),
        (V2, {**v2(1), "id": "7"}),
        (V2, {**v2(1), "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}),
        (V1, {"instances": [1]}),
        (V1, {"inputs": [2]}),
        ("/v2/models/m/versions/1/infer", v2(1)),
        ("/V1/models/m/versions/1:predict", {"instances": [1]}),
    ],
    ids=str,
)
def test_the_answer_is_that_of_the_application(client: httpx.Client, where: Where, path: str, body: Any) -> None:
    first, second = on_both_ways(client, path, body)
    assert where.calls[0] == "at once"
    assert where.calls[1] != "at once"
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    differing = {"date", "x-request-id"}
    assert {name: value for name, value in first.headers.items() if name not in differing} == {
        name: value for name, value in second.headers.items() if name not in differing
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "calls"),
    [
        (V2, v2(1, 666), 500, 1),
        (V1, {"instances": [1, 666]}, 500, 1),
        (V2, {"inputs": []}, 400, 0),
        (V2, b"[", 400, 0),
        ("/v2/models/none/infer", v2(1), 404, 0),
        ("/v2/models/m/versions/01/infer", v2(1), 400, 0),
        ("/v1/models/none:predict", {"instances": [1]}, 404, 0),
    ],
    ids=str,
)
def test_a_refusal_is_told_by_the_application_and_the_model_is_not_called_again(
    client: httpx.Client, where: Where, path: str, body: Any, status: int, calls: int
) -> None:
    before = client.get("/v2/models/m/stats").json()["model_stats"][0]["inference_stats"]["fail"]["count"]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert where.calls == ["at once"] * calls
    after = client.get("/v2/models/m/stats").json()["model_stats"][0]["inference_stats"]["fail"]["count"]
    assert after - before == (path == V2)


def test_a_long_answer_is_compressed_where_that_is_wanted(client: httpx.Client, where: Where) -> None:
    for wanted in ("gzip", "identity"):
        answer = client.post(V2, json=v2(1000), headers={"accept-encoding": wanted})
        assert answer.headers.get("content-encoding", "identity") == wanted
        assert answer.json()["outputs"][0]["data"] == [1000.0] * 1000
    assert len(where.calls) == 2


def test_a_very_long_answer_is_written_off_the_event_loop(client: httpx.Client, where: Where) -> None:
    for path, body in ((V2, v2(20_000)), (V1, {"instances": [20_000]})):
        answer = client.post(path, json=body)
        found = answer.json()
        assert (found.get("predictions") or found["outputs"][0]["data"]) == [20_000.0] * 20_000
    assert where.calls == ["at once"] * 2


def test_the_request_has_an_id_and_is_counted_once(client: httpx.Client) -> None:
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith("mlbuffet_requests_total{") and 'protocol="v2"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in found if 'model="m"' in line)

    before = counted()
    assert client.post(V2, json=v2(1), headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
    assert len(client.post(V2, json=v2(1)).headers["x-request-id"]) == 16
    assert counted() - before == 2


def test_requests_may_come_together_and_in_pieces(client: httpx.Client, where: Where) -> None:
    data = post(V2, json.dumps(v2(1)).encode())
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(data * 3)
        connection.sendall(data[:-5])
        connection.sendall(data[-5:])
        connection.sendall(post("/v2/models/m", b"", method="GET"))
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 5 or not received.endswith(b"}"):
            received += connection.recv(65536)
    assert received.count(b'"data":[1.0]') == 4
    assert received.index(b'"platform"') > received.rindex(b'"data":[1.0]')


def test_what_follows_an_answer_is_answered_after_it(client: httpx.Client, where: Where) -> None:
    data = post(V2, json.dumps(v2(1)).encode())
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(data * 2 + b"no request\r\n\r\n")
        received = received_until_closed(connection)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert statuses == [b"200", b"200", b"400"]


def test_a_body_that_is_late_is_the_applications(client: httpx.Client, where: Where) -> None:
    data = post(V2, json.dumps(v2(1)).encode())
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        for _ in range(2):
            connection.sendall(data[:-5])
            time.sleep(2 * fast_path_protocol.HOLD_SECONDS)
            connection.sendall(data[-5:])
            assert b'"data":[1.0]' in one_answer(connection)
        connection.sendall(data)
        assert b'"data":[1.0]' in one_answer(connection)
    assert "at once" not in where.calls[:2]
    assert where.calls[2] == "at once"


def test_a_body_that_trickles_in_is_the_applications_too(client: httpx.Client, where: Where) -> None:
    data = post(V2, json.dumps(v2(1)).encode())
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        for position in range(len(data)):
            connection.sendall(data[position : position + 1])
            time.sleep(fast_path_protocol.HOLD_SECONDS / 10)
        assert b'"data":[1.0]' in one_answer(connection)
    assert where.calls != ["at once"]


def test_a_body_that_is_awaited_when_the_server_stops_is_answered(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_path_protocol, "HOLD_SECONDS", 60)
    held: list[fast_path_protocol.FastHttpToolsProtocol] = []
    hold = fast_path_protocol.FastHttpToolsProtocol._hold

    def note(self: fast_path_protocol.FastHttpToolsProtocol, data: bytes, *, again: bool) -> None:
        held.append(self)
        hold(self, data, again=again)

    monkeypatch.setattr(fast_path_protocol.FastHttpToolsProtocol, "_hold", note)
    data = post(V2, json.dumps(v2(1)).encode())
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(data[:-5])
        wait_for(lambda: held)
        held[0].loop.call_soon_threadsafe(held[0].shutdown)  # as uvicorn does it with each connection
        wait_for(lambda: held[0].cycle is not None)
        connection.sendall(data[-5:])
        received = received_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in received


IDLE_SECONDS = 0.8


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle connections are soon closed."""
    made = HttpToolsProtocol.connection_made

    def connection_made(self: HttpToolsProtocol, transport: asyncio.Transport) -> None:
        made(self, transport)
        self.timeout_keep_alive = IDLE_SECONDS  # type: ignore[assignment]  # it takes fractions too

    monkeypatch.setattr(HttpToolsProtocol, "connection_made", connection_made)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("behind", [b"", b"\r\n"])
@pytest.mark.parametrize("path", [V2, "/v2/models/none/infer"])
def test_a_connection_is_kept_as_long_as_it_is_used(client: httpx.Client, behind: bytes, path: str) -> None:
    data = post(path, json.dumps(v2(1)).encode()) + behind
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        for _ in range(6):
            connection.sendall(data)
            assert one_answer(connection)
            time.sleep(IDLE_SECONDS / 4)
        begin = time.monotonic()
        assert received_until_closed(connection) == b""
        assert time.monotonic() - begin < 2


@pytest.mark.usefixtures("impatient")
def test_lines_without_a_request_keep_no_connection(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(post(V2, json.dumps(v2(1)).encode()))
        assert one_answer(connection)
        connection.settimeout(IDLE_SECONDS / 4)
        for _ in range(40):
            try:
                connection.sendall(b"\r\n")
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("it was never closed")


def one_answer(connection: socket.socket) -> bytes:
    """The body of the next answer; head and body may come apart."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.read()


def received_until_closed(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def test_a_body_over_the_limit_of_the_server_is_refused(client: httpx.Client, where: Where) -> None:
    body = json.dumps(v2(1)).encode()
    assert client.post(V2, content=body.ljust(LIMIT)).status_code == 200
    assert client.post(V2, content=body.ljust(LIMIT + 1)).status_code == 413
    assert where.calls == ["at once"]


def test_a_compressed_body_is_for_the_application(client: httpx.Client, where: Where) -> None:
    body = gzip.compress(json.dumps(v2(1)).encode(), mtime=0)
    answer = client.post(V2, content=body, headers={"content-encoding": "gzip"})
    assert answer.json()["outputs"][0]["data"] == [1.0]
    assert where.calls != ["at once"]
