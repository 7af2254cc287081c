"""Each fault over a raw socket is refused in a few words, and a control prediction is answered within a second."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from select import select

import httpx
import numpy as np
import pytest

from faults import FAULTS, LENGTH, LIMIT, V2, X, exchange, post
from mlbuffet.server import ServerSettings
from mlbuffet.server.errors import LONGEST_MESSAGE

HIDDEN = ("Traceback", "/tmp", "site-packages", "Error:", "mlbuffet.", "numpy", "msgspec", "a secret")


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    models = tmp_path_factory.mktemp("models")
    (models / "half.half").write_text("half")
    (models / "bad.half").write_text("corrupt")
    (models / "echo.echo").write_text("float32 float64 object int8 uint8 bool")
    with serve(models, ServerSettings(max_body=LIMIT, allow_changes=True)) as client:
        yield client


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_in_a_few_words_and_the_next_request_is_answered(client: httpx.Client, name: str) -> None:
    data, expected = FAULTS[name]
    status, headers, body = exchange(client.base_url.host, client.base_url.port or 0, data)
    error = json.loads(body)["error"]
    assert (status, headers["content-type"]) == (expected, "application/json"), error
    assert 0 < len(error) <= LONGEST_MESSAGE + 5
    assert not [word for word in HIDDEN if word in error]
    assert status != 405 or headers["allow"] in ("post", "get, head, post")
    assert status != 503 or headers["retry-after"] == "1"
    begin = time.perf_counter()
    assert client.post(V2, json={"inputs": [X]}).json()["outputs"][0]["data"] == [2.5, 3.0, 4.5]
    assert time.perf_counter() - begin < 1


def test_a_body_that_takes_long_to_read_keeps_nobody_waiting(client: httpx.Client) -> None:
    deep = b"[" * 60 + b"1" + b"]" * 60
    header = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":['
    data = post(V2, header + b",".join([deep] * 8000) + b"]}]}")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.sendall(data)
        answered = 0
        while not select([connection], [], [], 0)[0]:
            assert client.get("/v2/health/live").status_code == 200
            answered += 1
        assert b"400" in connection.recv(100)
    assert answered >= 15  # decoded on the event loop it would be 4


@pytest.mark.parametrize("offset", range(8))
def test_a_buffer_at_an_odd_offset_is_read_right(client: httpx.Client, offset: int) -> None:
    values = np.array([0.1, -1e300])
    tensor = {"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    members = {"inputs": [tensor], "id": "i" * offset, "parameters": {"signature_name": "float64"}}
    header = json.dumps(members).encode()
    data = post("/v2/models/echo/infer", header + values.tobytes(), {LENGTH: len(header)})
    status, _, body = exchange(client.base_url.host, client.base_url.port or 0, data)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [0.1, -1e300])
