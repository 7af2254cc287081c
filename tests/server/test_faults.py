"""Each fault over a raw socket is refused in a few words, and a control prediction is answered within a second."""

import json
import socket
import time
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest

from faults import FAULTS, LENGTH, V1, V2, X, exchange, post
from mlbuffet.inference.offload import LARGE
from mlbuffet.json_tensors.text import decode_outline
from mlbuffet.message_text import LONGEST_MESSAGE

HIDDEN = ("Traceback", "/tmp", "site-packages", "Error:", "mlbuffet.", "numpy", "msgspec", "a secret")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refused_in_a_few_words_and_the_next_request_is_answered(client: httpx.Client, name: str) -> None:
    data, expected = FAULTS[name]
    status, headers, body = exchange(client.base_url.host, client.base_url.port or 0, data)
    error = json.loads(body)["error"]
    assert (status, headers["content-type"]) == (expected, "application/json"), error
    assert 0 < len(error) <= LONGEST_MESSAGE + 5
    assert not [word for word in HIDDEN if word in error]
    assert status != 405 or headers["allow"] in ("post", "delete, get, head, post, put")
    assert ("retry-after" in headers) is (status == 503 and "cannot be loaded" not in error)
    begin = time.perf_counter()
    assert client.post(V2, json={"inputs": [X]}).json()["outputs"][0]["data"] == [2.5, 3.0, 4.5]
    assert time.perf_counter() - begin < 1


BLANKS = b" " * LARGE


@pytest.mark.parametrize(
    ("codec", "path", "body"),
    [
        ("open_inference", V2, json.dumps({"inputs": [X]}).encode() + BLANKS),
        ("tensorflow_serving", V1, b'{"instances": [1, 2, 5]}' + BLANKS),
    ],
    ids=["open_inference", "tensorflow_serving"],
)
def test_a_body_that_takes_long_to_read_keeps_nobody_waiting(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, codec: str, path: str, body: bytes
) -> None:
    decoding, go_on = Event(), Event()

    def held(text: bytes, kind: Any) -> Any:
        decoding.set()
        assert go_on.wait(10)
        return decode_outline(text, kind)

    monkeypatch.setattr(f"mlbuffet.server.protocols.{codec}.requests.decode_outline", held)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.sendall(post(path, body))
        assert decoding.wait(10)
        assert client.get("/v2/health/live").status_code == 200
        go_on.set()
        assert b"200 OK" in connection.recv(100)


@pytest.mark.parametrize(
    "element", [b"a\0b", b"", b"\xff\xfe", b"\0" * 500_000], ids=["NUL", "none", "no UTF-8", "long"]
)
def test_bytes_of_any_kind_travel(client: httpx.Client, element: bytes) -> None:
    buffer = len(element).to_bytes(4, "little") + element
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(buffer)}}
    members = {"inputs": [tensor], "parameters": {"signature_name": "object", "binary_data_output": True}}
    header = json.dumps(members).encode()
    answer = client.post("/v2/models/echo/infer", content=header + buffer, headers={LENGTH: str(len(header))})
    assert answer.content[int(answer.headers[LENGTH]) :] == buffer


@pytest.mark.parametrize("offset", range(8))
def test_a_buffer_at_an_odd_offset_is_read_right(client: httpx.Client, offset: int) -> None:
    values = np.array([0.1, -1e300])
    tensor = {"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    members = {"inputs": [tensor], "id": "i" * offset, "parameters": {"signature_name": "float64"}}
    header = json.dumps(members).encode()
    data = post("/v2/models/echo/infer", header + values.tobytes(), {LENGTH: len(header)})
    status, _, body = exchange(client.base_url.host, client.base_url.port or 0, data)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [0.1, -1e300])
