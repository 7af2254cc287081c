"""Open Inference Protocol v2 over a real socket: addresses, statuses and answers."""

import gzip
import http.client
import json
import logging
import math
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

from faults import BOMB, LIMIT
from mlbuffet import Runtimes, Signature, Signatures, TensorSpec, hookimpl
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.tensors import shape_text
from small_runtimes import HalfPlusTwo, repository_of, write_models

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "statistics",
]
X = {"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 5]}


PACKED = gzip.compress(b"{}", mtime=0)  # workers of pytest have to agree on the names of tests


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``half`` in versions 1 and 2, ``flat``, ``dtypes`` without a default signature, and ``bad``, which fails."""
    return write_models(
        tmp_path_factory.mktemp("models"),
        {
            "half/1/model.half": "half",
            "half/2/model.half": "half",
            "flat.half": "half",
            "dtypes.echo": "float32 int64 bool object uint8 float64 float16 complex64",
            "bad.half": "corrupt",
        },
    )


def infer(client: httpx.Client, model: str, *inputs: dict[str, Any], **members: Any) -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", json={"inputs": inputs, **members})


def test_health_and_server_metadata(client: httpx.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}
    for path in ("/v2", "/v2/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"name": "mlbuffet", "version": "1.0.0", "extensions": EXTENSIONS}


def test_model_metadata_lists_versions_tensors_and_signatures(client: httpx.Client) -> None:
    metadata = client.get("/v2/models/half").json()
    signatures = json.loads(metadata.pop("properties")["signatures"])
    x, y = ({"name": name, "datatype": "FP32", "shape": [-1]} for name in "xy")
    assert metadata == {"name": "half", "versions": ["1", "2"], "platform": "half", "inputs": [x], "outputs": [y]}
    assert list(signatures) == ["serving_default", "both"]
    assert [tensor["name"] for tensor in signatures["both"]["outputs"]] == ["y", "z"]
    assert signatures["both"]["method"] == "predict"
    assert client.get("/v2/models/half/versions/1").json()["name"] == "half"


def test_a_model_without_a_default_signature_shows_none(client: httpx.Client) -> None:
    metadata = client.get("/v2/models/dtypes").json()
    assert (metadata["inputs"], metadata["outputs"]) == ([], [])
    assert "default_signature" not in metadata["properties"]


@pytest.mark.parametrize(("address", "version"), [("half", "2"), ("half/versions/1", "1"), ("flat", "1")])
def test_a_model_answers_with_and_without_a_version(client: httpx.Client, address: str, version: str) -> None:
    answer = infer(client, address, X, id="7")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": "7",
        "model_name": address.partition("/")[0],
        "model_version": version,
        "outputs": [{"name": "y", "shape": [3], "datatype": "FP32", "data": [2.5, 3.0, 4.5]}],
    }


def test_a_signature_and_outputs_are_chosen_by_the_request(client: httpx.Client) -> None:
    asked = {"parameters": {"signature_name": "both"}, "outputs": [{"name": "z"}, {"name": "y"}]}
    outputs = infer(client, "half", X, **asked).json()["outputs"]
    assert [(output["name"], output["data"]) for output in outputs] == [("z", [2, 4, 10]), ("y", [2.5, 3, 4.5])]


@pytest.mark.parametrize(
    ("datatype", "dtype", "data"),
    [
        ("FP32", "float32", [0.1, -1e-30]),
        ("FP64", "float64", [0.1, 1e300]),
        ("INT64", "int64", [-(2**63), 2**63 - 1]),
        ("UINT8", "uint8", [0, 255]),
        ("BOOL", "bool", [True, False]),
        ("BYTES", "object", ["é", ""]),
    ],
)
def test_values_come_back_as_they_were(client: httpx.Client, datatype: str, dtype: str, data: list[Any]) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": datatype, "data": [data]}
    answer = infer(client, "dtypes", tensor, parameters={"signature_name": dtype}).json()
    assert answer["outputs"] == [{**tensor, "data": data}]


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("half", {"inputs": []}, "input 'x' is missing; the model takes x: float32 (any,)"),
        ("half", {"inputs": [X, {**X, "name": "w"}]}, "there is no input 'w'"),
        ("half", {"inputs": [X, X]}, "input 'x' is given twice"),
        ("half", {"inputs": [X], "outputs": [{"name": "w"}]}, "there is no output 'w'"),
        ("half", {"inputs": [X], "outputs": [{"name": "y"}] * 2}, "output 'y' is requested twice"),
        ("half", {"inputs": [{**X, "datatype": "FP64"}]}, "input 'x' has dtype float64; the model takes float32"),
        ("half", {"inputs": [{**X, "shape": [3, 1]}]}, "input 'x' has shape (3, 1); the model takes (any,)"),
        ("half", {"inputs": [X], "parameters": {"signature_name": "w"}}, "name one of: serving_default, both"),
        ("dtypes", {"inputs": [X]}, "the model has no default signature; name one of: float32, int64"),
    ],
)
def test_a_request_that_does_not_fit_is_400_with_the_reason(
    client: httpx.Client, model: str, body: dict[str, Any], message: str
) -> None:
    answer = client.post(f"/v2/models/{model}/infer", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert message in answer.json()["error"]
    assert infer(client, "half", X).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"not json", b"\xff", b"[" * 60_000, b'{"inputs": [' + b"[" * 50_000]
)
def test_a_body_that_is_no_request_is_400(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v2/models/half/infer", content=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


@pytest.mark.parametrize("verb", ["", "/ready", "/infer"])
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("nope", 404),
        ("half/versions/9", 404),
        ("half/versions/0", 404),
        ("half/versions/-1", 400),
        ("half/versions/1.0", 400),
        ("half/versions/01", 400),
        ("half/versions/1_0", 400),
        ("half/versions/%D9%A1", 400),
        ("half/versions/" + "9" * 30, 400),
        ("..", 404),
        ("%2e%2e", 404),
        ("a%2fb", 404),
        ("a%00b", 404),
        ("a%0d%0ab", 404),
        ("n" * 256, 404),
    ],
)
def test_an_address_that_is_not_there_is_refused(client: httpx.Client, address: str, verb: str, status: int) -> None:
    # http.client sends the path as it is, where other clients would normalise it
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=10)
    connection.request(
        "POST" if verb == "/infer" else "GET", f"/v2/models/{address}{verb}", json.dumps({"inputs": [X]})
    )
    answer = connection.getresponse()
    assert answer.status == status
    assert json.loads(answer.read())["error"]
    connection.close()


def test_a_wrong_method_is_405_and_names_the_right_one(client: httpx.Client) -> None:
    answer = client.get("/v2/models/half/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json() == {"error": "GET /v2/models/half/infer: method not allowed"}
    assert client.delete("/v2/models/half").status_code == 405


def test_an_unknown_route_is_404_in_json(client: httpx.Client) -> None:
    answer = client.get("/v3")
    assert (answer.status_code, answer.json()) == (404, {"error": "GET /v3: not found"})


@pytest.mark.parametrize("verb", ["", "/ready", "/infer"])
def test_a_model_that_failed_is_503_with_a_reason_without_its_path(
    client: httpx.Client, models: Path, verb: str
) -> None:
    answer = infer(client, "bad", X) if verb == "/infer" else client.get(f"/v2/models/bad{verb}")
    assert answer.status_code == 503
    assert "the model cannot be loaded" in answer.json()["error"]
    assert str(models) not in answer.text


def test_a_model_is_ready_where_it_answers(client: httpx.Client) -> None:
    assert client.get("/v2/models/half/ready").json() == {"name": "half", "ready": True}
    assert client.get("/v2/models/half/versions/2/ready").json() == {"name": "half", "ready": True}


def test_an_output_that_json_cannot_hold_is_400(client: httpx.Client) -> None:
    tensor = {**X, "datatype": "FP16"}
    answer = infer(client, "dtypes", tensor, parameters={"signature_name": "float16"})
    assert (answer.status_code, "binary form" in answer.json()["error"]) == (400, True)


def test_a_failure_of_the_runtime_is_500_and_its_text_stays_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = infer(client, "half", {**X, "data": [1, 666, 3]})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the model failed to compute signature 'serving_default'; the server's log has the cause"
    }
    [record] = [record for record in caplog.records if "a secret of the inside" in record.message]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.message.startswith("POST /v2/models/half/infer: the runtime 'half' failed")
    assert infer(client, "half", X).status_code == 200


def test_the_traceback_of_a_failure_is_in_the_log_at_debug(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "mlbuffet.server.errors"):
        assert infer(client, "half", {**X, "data": [1, 666, 3]}).status_code == 500
    assert "in predict\n" in caplog.text


def test_a_defect_of_the_server_is_500_and_its_text_stays_in_the_log(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mlbuffet.server.protocols.open_inference.prediction.encode_response", lambda *_: 1 / 0)
        answer = infer(client, "half", X)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error; the server's log has the cause"}
    deadline = time.monotonic() + 5  # uvicorn logs it after the answer
    while "ZeroDivisionError" not in caplog.text:
        assert time.monotonic() < deadline
    assert infer(client, "half", X).status_code == 200


def test_raw_buffers_travel_both_ways(client: httpx.Client) -> None:
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    body = header + np.array([1, 2, 5], np.float32).tobytes()
    answer = client.post(
        "/v2/models/half/infer", content=body, headers={"Inference-Header-Content-Length": str(len(header))}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert np.frombuffer(answer.content[length:], np.float32).tolist() == [2.5, 3.0, 4.5]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_requests_and_answers_are_compressed(
    client: httpx.Client, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = json.dumps({"inputs": [{**X, "shape": [1000], "data": list(range(1000, 2000))}]}).encode()
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    answer = client.post("/v2/models/half/infer", content=pack(body), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == encoding
    assert int(answer.headers["content-length"]) < len(answer.content) / 2
    assert answer.json()["outputs"][0]["data"][-1] == 1001.5
    plain = client.post("/v2/models/half/infer", content=body, headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "content-encoding" not in plain.headers
    short = client.post("/v2/models/half/infer", json={"inputs": [X]}, headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZip"])
@pytest.mark.parametrize("cuts", [[], [1], [5, 5, 30], [2, 3, 5000]])
def test_several_members_of_gzip_are_one_body(client: httpx.Client, encoding: str, cuts: list[int]) -> None:
    tensor = {**X, "shape": [9000], "data": list(range(1000, 10000))}
    body = json.dumps({"inputs": [tensor]}).encode()
    edges = [0, *cuts, len(body)]
    members = b"".join(gzip.compress(body[begin:end]) for begin, end in pairwise(edges))
    headers = {"Content-Encoding": encoding, "Accept-Encoding": "x-gzip"}
    answer = client.post("/v2/models/half/infer", content=members, headers=headers)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert answer.json()["outputs"][0]["data"][-1] == 5001.5


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe\0\0", "utf-32-le"),
    ],
)
@pytest.mark.parametrize(
    "path",
    ["/v2/models/half/infer", "/v1/models/half:predict", "/v2/repository/index", "/api/v1/models/half/prediction"],
)
def test_a_byte_order_mark_is_called_by_its_name(client: httpx.Client, path: str, mark: bytes, encoding: str) -> None:
    body = json.dumps({"inputs": [X], "values": [1.0], "ready": True}).encode(encoding)
    answer = client.post(path, content=mark + body)
    assert (answer.status_code, "byte order mark (BOM) of UTF" in answer.json()["error"]) == (400, True)
    assert encoding.upper()[:6].rstrip("-") in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (b"not gzip", "gzip", 400, "not valid gzip"),
        (PACKED[:-1], "gzip", 400, "not valid gzip: it is cut"),
        (PACKED + b"x", "gzip", 400, "something follows it"),
        (PACKED * 2 + b"\0", "gzip", 400, "something follows it"),
        (PACKED * 2 + PACKED[:9], "gzip", 400, "not valid gzip: it is cut"),
        (zlib.compress(b"{}") * 2, "deflate", 400, "not valid deflate: something follows it"),
        (b"", "gzip", 400, "not valid gzip: it is cut"),
        (BOMB, "gzip", 413, f"larger than {LIMIT} bytes"),
        (gzip.compress(b" " * (LIMIT // 2), mtime=0) * 3, "gzip", 413, f"larger than {LIMIT} bytes"),
        (gzip.compress(b"", mtime=0) * 10_001, "gzip", 400, "more than 10000 members"),
        (b"{}", "br", 415, "'br' is not known; there are: gzip, deflate"),
        (b" " * (LIMIT + 1), "identity", 413, f"larger than {LIMIT} bytes"),
    ],
)
def test_a_body_that_cannot_be_unpacked_or_is_too_large_is_refused(
    client: httpx.Client, body: bytes, encoding: str, status: int, message: str
) -> None:
    answer = client.post("/v2/models/half/infer", content=body, headers={"Content-Encoding": encoding})
    assert (answer.status_code, message in answer.json()["error"]) == (status, True)


def test_a_body_of_unknown_length_is_refused_at_the_limit(client: httpx.Client) -> None:
    answer = client.post("/v2/models/half/infer", content=(b" " * LIMIT for _ in range(2)))
    assert answer.status_code == 413


def test_all_models_are_listed(client: httpx.Client) -> None:
    assert client.get("/v2/models").json() == {"models": ["bad", "dtypes", "flat", "half"]}


def test_a_configuration_is_such_as_triton_shows(client: httpx.Client) -> None:
    x, y = ({"name": name, "data_type": "TYPE_FP32", "dims": [-1]} for name in "xy")
    expected = {"name": "half", "platform": "half", "backend": "half", "max_batch_size": 0, "input": [x], "output": [y]}
    assert client.get("/v2/models/half/config").json() == expected
    assert client.get("/v2/models/half/versions/1/config").json() == expected
    assert client.get("/v2/models/dtypes/config").json()["input"] == []


def test_the_best_classes_can_be_asked_for(client: httpx.Client) -> None:
    asked = [{"name": "y", "parameters": {"classification": 2}}]
    (output,) = infer(client, "half", X, outputs=asked).json()["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == ("BYTES", [2], ["4.500000:2", "3.000000:1"])


def test_answers_and_failures_are_counted(client: httpx.Client) -> None:
    def counts() -> dict[str, Any]:
        (entry,) = client.get("/v2/models/half/versions/1/stats").json()["model_stats"]
        return dict(entry)

    before = counts()
    infer(client, "half/versions/1", X)
    infer(client, "half/versions/1", {**X, "datatype": "FP64"})
    after = counts()
    assert after["inference_count"] - before["inference_count"] == 1
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["last_inference"] > 0
    for stage in ("success", "fail", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][stage]["count"] - before["inference_stats"][stage]["count"] == 1
        assert after["inference_stats"][stage]["ns"] > before["inference_stats"][stage]["ns"]
    assert len(client.get("/v2/models/half/stats").json()["model_stats"]) == 2
    assert len(client.get("/v2/models/stats").json()["model_stats"]) == 5


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": null}', b'{"ready": false}'])
def test_the_index_shows_the_state_of_every_version(client: httpx.Client, body: bytes) -> None:
    bad, *rest = client.post("/v2/repository/index", content=body).json()
    assert (bad["name"], bad["state"], "cannot be loaded" in bad["reason"]) == ("bad", "UNAVAILABLE", True)
    assert rest == [
        {"name": "dtypes", "version": "1", "state": "READY"},
        {"name": "flat", "version": "1", "state": "READY"},
        {"name": "half", "version": "1", "state": "READY"},
        {"name": "half", "version": "2", "state": "READY"},
    ]


def test_the_index_can_leave_out_what_is_not_ready(client: httpx.Client) -> None:
    ready = client.post("/v2/repository/index", json={"ready": True}).json()
    assert {entry["state"] for entry in ready} == {"READY"}
    assert client.post("/v2/repository/index", json={"ready": 1}).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{}", b'{"parameters": {"unload_dependents": true}}'])
def test_a_model_is_unloaded_and_loaded_over_http(client: httpx.Client, body: bytes) -> None:
    assert client.post("/v2/repository/models/flat/unload", content=body).status_code == 200
    assert client.get("/v2/models/flat/ready").json() == {
        "error": "version 1 of the model 'flat' is not ready: it was unloaded"
    }
    assert infer(client, "flat", X).status_code == 503
    assert client.post("/v2/repository/models/flat/load", content=body).status_code == 200
    assert infer(client, "flat", X).status_code == 200


@pytest.mark.parametrize(
    ("change", "body", "status", "message"),
    [
        ("nope/load", b"", 404, "there is no model 'nope'"),
        ("nope/unload", b"", 404, "there is no model 'nope'"),
        ("bad/load", b"", 422, "the model cannot be loaded"),
        ("flat/load", b'{"parameters": {"config": "{}"}}', 400, "the parameter 'config' is not supported"),
        ("flat/load", b"[]", 400, "Expected `object`"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(
    client: httpx.Client, change: str, body: bytes, status: int, message: str
) -> None:
    answer = client.post(f"/v2/repository/models/{change}", content=body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True)


def test_a_server_may_keep_clients_from_changing_models(
    models: Path, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> None:
    with serve(models, ServerSettings()) as client:
        for change in ("load", "unload"):
            assert client.post(f"/v2/repository/models/flat/{change}").status_code == 403
        assert infer(client, "flat", X).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "127.0.0.1:8000", 200),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", 200),
        ("http://localhost:8000", "localhost:8000", 200),
        ("http://evil.example", "127.0.0.1:8000", 403),
        ("http://evil.example:8000", "evil.example:8000", 403),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", 403),
        ("null", "127.0.0.1:8000", 403),
        ("http://[", "127.0.0.1:8000", 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    client: httpx.Client, origin: str | None, host: str, status: int
) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    answer = client.post("/v2/repository/models/half/load", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json() == {"error": "a page of another site may not change what is served"}


class Pairs(HalfPlusTwo):
    """Takes rows of two numbers."""

    @hookimpl
    def signature(self, model: float) -> Signatures:
        x, y = (TensorSpec(name, np.float32, (None, 2)) for name in "xy")
        return Signatures({"serving_default": Signature([x], [y])})


@pytest.mark.parametrize("shape", [[2], [1, 3], [2, 1, 2], []])
def test_a_wrong_rank_or_static_dimension_is_refused(
    half: Path, run_app: Callable[[Starlette], AbstractContextManager[httpx.Client]], shape: list[int]
) -> None:
    runtimes, loaded = Runtimes(), Event()
    runtimes.register(Pairs, name="pairs")
    with run_app(create_app(repository_of(half, runtimes), on_loaded=loaded.set)) as client:
        assert loaded.wait(120)
        tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": [1] * math.prod(shape)}
        answer = client.post("/v2/models/half/infer", json={"inputs": [tensor]})
        assert answer.status_code == 400
        assert f"input 'x' has shape {shape_text(tuple(shape))}; the model takes (any, 2)" in answer.json()["error"]
        good = client.post("/v2/models/half/infer", json={"inputs": [{**tensor, "shape": [1, 2], "data": [2, 4]}]})
        assert good.json()["outputs"][0]["data"] == [3.0, 4.0]
