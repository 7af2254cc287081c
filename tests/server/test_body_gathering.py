"""Bodies that come in many pieces are read as they are, within the limits, and lie where runtimes need no copy."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from faults import post
from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.server import ServerSettings

Serve = Callable[..., AbstractContextManager[httpx.Client]]
VALUES = np.random.default_rng(1).random(200_000, np.float32)
IDLE_SECONDS = 0.4
PATH = "/v2/models/m/infer"


class Memory:
    """Says where its input lies, and what it adds up to."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".memory"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> None: ...

    @hookimpl
    def signature(self, model: None) -> Signatures:
        outputs = [TensorSpec("offset", np.int64, ()), TensorSpec("sum", np.float64, ())]
        return Signatures({"serving_default": Signature([TensorSpec("x", np.float32, (None,))], outputs)})

    @hookimpl
    def predict(self, model: None, signature: str, inputs: Tensors) -> Tensors:
        return {"offset": np.array(inputs["x"].ctypes.data % 16), "sum": np.array(inputs["x"].sum(dtype=np.float64))}


@pytest.fixture(scope="module")
def client(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("models")
    (root / "m.memory").touch()
    runtimes = Runtimes()
    runtimes.register(Memory, name="memory")
    settings = ServerSettings(max_body=2**20, body_idle_seconds=IDLE_SECONDS)
    with serve(root, settings, runtimes) as client:
        yield client


def binary(values: np.ndarray, padding: int = 0) -> tuple[bytes, dict[str, str]]:
    """The body of a request with ``values``, and what its head says of that."""
    tensor = {"name": "x", "shape": [values.size], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}]}).encode()
    head += b" " * padding
    return head + values.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def said(answer: httpx.Response) -> tuple[int, float]:
    """The offset and the sum."""
    assert answer.status_code == 200, answer.text
    offset, total = answer.json()["outputs"]
    return offset["data"][0], total["data"][0]


@pytest.mark.parametrize("padding", [0, 1, 7, 16])
def test_a_large_buffer_is_aligned_whatever_stands_before_it(client: httpx.Client, padding: int) -> None:
    body, headers = binary(VALUES, padding)
    whole = (0, VALUES.sum(dtype=np.float64))
    assert said(client.post(PATH, content=body, headers=headers)) == whole
    assert said(client.post(PATH, content=iter([body]), headers=headers)) == whole  # chunked
    packed = gzip.compress(body, 1)
    assert said(client.post(PATH, content=packed, headers={**headers, "Content-Encoding": "gzip"})) == whole
    with pytest.raises(AssertionError, match="of 800"):
        said(client.post(PATH, content=body, headers={"Inference-Header-Content-Length": "999999"}))


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10)


def raw(values: np.ndarray) -> bytes:
    body, headers = binary(values)
    return post(PATH, body, headers)


def answers(connection: socket.socket, count: int) -> list[float]:
    """The sums of so many answers."""
    received = b""
    while received.count(b'"sum"') < count or not received.endswith(b"}"):
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    return [float(part.split(b'"data":[')[1].split(b"]")[0]) for part in received.split(b'"sum"')[1:]]


@pytest.mark.parametrize("piece", [70_001, 300_000])
def test_large_requests_may_follow_each_other_at_once(client: httpx.Client, piece: int) -> None:
    sent = [VALUES, VALUES[:3], VALUES[::-1].copy(), VALUES[:150_000]]
    data = b"".join(map(raw, sent))
    with connected(client) as connection:
        for begin in range(0, len(data), piece):
            connection.sendall(data[begin : begin + piece])
        assert answers(connection, len(sent)) == [values.sum(dtype=np.float64) for values in sent]


def test_a_slow_body_is_read_as_long_as_it_goes_on(client: httpx.Client) -> None:
    data = raw(VALUES)
    piece = len(data) // 8
    with connected(client) as connection:
        for begin in range(0, len(data), piece):
            connection.sendall(data[begin : begin + piece])
            time.sleep(IDLE_SECONDS / 4)
        assert answers(connection, 1) == [VALUES.sum(dtype=np.float64)]


def test_a_slow_body_is_given_up_once_it_stops(client: httpx.Client) -> None:
    data = raw(VALUES)
    with connected(client) as connection:
        for begin in range(0, 400_000, 100_000):
            connection.sendall(data[begin : begin + 100_000])
            time.sleep(IDLE_SECONDS / 4)
        begun = time.monotonic()
        received = b""
        while more := connection.recv(65536):
            received += more
        assert received.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begun > IDLE_SECONDS / 2


def test_what_has_no_announced_end_is_refused_when_it_is_too_large(client: httpx.Client) -> None:
    with connected(client) as connection:
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        received = b""
        connection.settimeout(0.01)
        for _ in range(1000):
            try:
                connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
                received += connection.recv(65536)
                break
            except TimeoutError:
                continue
        assert b"HTTP/1.1 413 " in received


def test_a_client_may_go_amid_its_body(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    data = raw(VALUES)
    with connected(client) as connection:
        connection.sendall(data[: len(data) // 2])
        time.sleep(0.1)
    body, headers = binary(VALUES)
    assert said(client.post(PATH, content=body, headers=headers))[0] == 0
    assert not caplog.records


def test_a_client_may_ask_whether_to_go_on(client: httpx.Client) -> None:
    body, headers = binary(VALUES)
    data = post(PATH, body, {**headers, "Expect": "100-continue"})
    with connected(client) as connection:
        connection.sendall(data[: -len(body)])
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answers(connection, 1) == [VALUES.sum(dtype=np.float64)]
