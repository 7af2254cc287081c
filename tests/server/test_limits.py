"""What a server takes and how long it waits, asked over plain sockets, which say what no client library would."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from mlbuffet.server import ServerSettings
from mlbuffet.server.http import head_limits

Serve = Callable[..., AbstractContextManager[httpx.Client]]
INFER = b"POST /v2/models/half/infer HTTP/1.1\r\nHost: mlbuffet\r\n"


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=5) as connection:
        yield connection


def answer_to(connection: socket.socket) -> tuple[int, str]:
    """The status of the answer, which must be whole and the connection's last, and its error."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert f"content-length: {len(body)}" in lines
    assert "connection: close" in lines
    return int(lines[0].split()[1]), json.loads(body)["error"]


def still_answers(client: httpx.Client) -> bool:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    answer = client.post("/v2/models/half/infer", json={"inputs": [tensor]})
    return bool(answer.json()["outputs"][0]["data"] == [2.5])


@pytest.mark.parametrize(
    "head",
    [
        INFER + b"a: b\r\n" * 101 + b"\r\n",
        INFER + b"a: " + b"b" * 2**16 + b"\r\n\r\n",
        INFER + b"a: " + b"b" * 2**20,  # and no end
        b"GET /" + b"a" * 2**16 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["headers", "bytes", "bytes without end", "address"],
)
def test_a_head_that_is_too_large_is_refused(serve: Serve, half: Path, head: bytes) -> None:
    with serve(half) as client, connected(client) as connection:
        connection.sendall(head)
        assert answer_to(connection) == (
            431,
            "the head of the request is larger than this server takes: 100 headers and 65536 bytes",
        )
        assert still_answers(client)


def test_a_hundred_headers_are_taken(serve: Serve, half: Path) -> None:
    with serve(half) as client:
        headers = {f"x-{number}": "x" * 500 for number in range(100 - len(client.headers) - 1)}
        assert client.get("/v2", headers=headers).status_code == 200


def test_what_is_no_http_is_refused(serve: Serve, half: Path) -> None:
    with serve(half) as client, connected(client) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert answer_to(connection) == (400, "Invalid HTTP request received.")


@pytest.mark.parametrize(
    ("refused", "status"),
    [(b"no request\r\n\r\n", 400), (INFER + b"a: b\r\n" * 101 + b"\r\n", 431)],
)
@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_refusal_comes_after_the_answers_before_it(
    serve: Serve, tmp_path: Path, refused: bytes, status: int, pause: float
) -> None:
    (tmp_path / "slow.sleep").write_text("half")
    body = b'{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[0.2]}]}'
    slow = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with serve(tmp_path) as client, connected(client) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n" + slow)
        time.sleep(pause)
        connection.sendall(refused)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        statuses = [int(line) for line in re.findall(rb"HTTP/1.1 (\d+)", received)]
        assert statuses == [200, 200, status]


def test_a_head_that_does_not_end_in_time_is_refused(serve: Serve, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_limits, "HEAD_SECONDS", 0.3)
    with serve(half) as client, connected(client) as connection:
        connection.sendall(INFER)
        assert answer_to(connection) == (408, "the head of the request took too long")
        with connected(client) as silent:
            assert silent.recv(1) == b""
        assert still_answers(client)


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n"])
def test_a_body_that_stops_arriving_is_given_up(serve: Serve, half: Path, framing: bytes) -> None:
    with serve(half, ServerSettings(body_idle_seconds=0.3)) as client, connected(client) as connection:
        connection.sendall(INFER + framing + b'{"inp')
        assert answer_to(connection) == (408, "the body of the request did not arrive in time")
        assert still_answers(client)


def test_a_client_that_goes_away_within_its_body_is_no_defect(
    serve: Serve, half: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(half) as client:
        with connected(client) as connection:
            connection.sendall(INFER + b"Content-Length: 100\r\n\r\n{")
        assert still_answers(client)
    assert not caplog.records


@pytest.mark.parametrize("other", ["h2c", "websocket"])
def test_an_offer_of_another_protocol_is_let_pass(serve: Serve, half: Path, other: str) -> None:
    headers = {"Connection": "Upgrade, HTTP2-Settings, close", "Upgrade": other, "HTTP2-Settings": "AAEAAEAAAAI"}
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    with serve(half) as client:
        answer = client.post("/v2/models/half/infer", json={"inputs": [tensor]}, headers=headers)
        assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, [2.5])


def test_a_body_that_trickles_in_is_given_up_too(serve: Serve, half: Path) -> None:
    settings = ServerSettings(body_seconds=0.6, body_idle_seconds=0.4)
    with serve(half, settings) as client, connected(client) as connection:
        connection.sendall(INFER + b"Content-Length: 100\r\n\r\n")
        connection.settimeout(0.1)
        started = time.monotonic()
        while time.monotonic() - started < 3:
            connection.sendall(b" ")
            try:
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        connection.settimeout(5)
        assert answer_to(connection)[0] == 408


def test_a_model_that_takes_too_long_is_not_waited_for(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("a.sleep", "b.sleep", "half.half"):  # a call that was given up goes on, and two run at once
        (tmp_path / "models" / name).write_text("half")
    tensor = {"name": "x", "shape": [], "datatype": "FP32"}
    with serve(tmp_path / "models", ServerSettings(request_timeout=0.2)) as client:
        late = client.post("/v2/models/a/infer", json={"inputs": [{**tensor, "data": [1]}]})
        assert (late.status_code, late.json()) == (504, {"error": "the model did not answer within 0.2 seconds"})
        assert client.post("/v1/models/b:predict", json={"inputs": 1}).status_code == 504
        assert client.post("/v2/models/a/infer", json={"inputs": [{**tensor, "data": [0]}]}).status_code == 200
        assert still_answers(client)
