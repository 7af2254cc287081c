"""TensorFlow Serving's REST API over a real socket: addresses, statuses and answers."""

import gzip
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette

import mlbuffet
from faults import BOMB, LIMIT
from mlbuffet import InvalidInput, Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.repository import ModelRepository, StoredModel, StoredVersion
from mlbuffet.server import create_app
from small_runtimes import small_runtimes, write_models

Serve = Callable[..., AbstractContextManager[httpx.Client]]
RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]
ROWS = {"instances": [1.0, 2.0, 5.0]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``half`` in versions 1 and 123, ``Flat``, ``dtypes`` without a default signature, and ``bad``, which fails."""
    return write_models(
        tmp_path_factory.mktemp("models"),
        {
            "half/1/model.half": "half",
            "half/00000123/model.half": "half",
            "Flat.half": "half",
            "dtypes.echo": "float32 int64 bool object uint8 float64 complex64",
            "bad.half": "corrupt",
        },
    )


def ask(client: httpx.Client, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer to a path that is sent as it is, where httpx would normalise it."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    assert answer.headers["content-type"] == "application/json"
    connection.close()
    return answer.status, content


# predict


@pytest.mark.parametrize(
    "address",
    [
        "/v1/models/half:predict",
        "/v1/models/half/versions/1:predict",
        "/v1/models/half/versions/123:predict",
        "/v1/models/half/versions/00000123:predict",
        "/v1/models/half/versions/0:predict",
        "/V1/MODELS/half/Versions/1:PREDICT",
        "/v1/models/%68alf:predict",
        "/v1/models/Flat:predict",
    ],
)
def test_a_model_answers_rows_and_columns(client: httpx.Client, address: str) -> None:
    assert ask(client, "POST", address, json.dumps(ROWS).encode()) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert client.post(address, json={"inputs": {"x": [1, 2, 5]}}).json() == {"outputs": [2.5, 3.0, 4.5]}


def test_several_outputs_are_objects(client: httpx.Client) -> None:
    rows = client.post("/v1/models/half:predict", json={"signature_name": "both", "instances": [1, 2]})
    assert rows.text == '{"predictions":[{"y":2.5,"z":2.0},{"y":3.0,"z":4.0}]}'
    columns = client.post("/v1/models/half:predict", json={"signature_name": "both", "inputs": [1, 2]})
    assert columns.json() == {"outputs": {"y": [2.5, 3.0], "z": [2.0, 4.0]}}


def test_zero_rows_are_columns_alone(client: httpx.Client) -> None:
    assert client.post("/v1/models/half:predict", json={"inputs": []}).json() == {"outputs": []}
    assert client.post("/v1/models/half:predict", json={"instances": []}).status_code == 400


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "image/png", "", None])
def test_the_type_of_the_content_is_not_looked_at(client: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.post("/v1/models/half:predict", content=b'{"instances": [NaN, 1]}', headers=headers)
    assert (answer.status_code, answer.text) == (200, '{"predictions":[NaN,2.5]}')
    assert answer.headers["content-type"] == "application/json"


def test_every_address_gives_the_same_prediction_to_the_last_bit(client: httpx.Client, models: Path) -> None:
    values = np.random.default_rng(7).normal(size=200).astype(np.float32)
    tensor = {"name": "x", "shape": [200], "datatype": "FP32", "data": [float(value) for value in values]}
    v2 = client.post("/v2/models/half/infer", json={"inputs": [tensor]}).json()["outputs"][0]["data"]
    shortest = "[" + ",".join(str(value) for value in values) + "]"
    rows = client.post("/v1/models/half:predict", content=f'{{"instances": {shortest}}}').json()["predictions"]
    columns = client.post("/v1/models/half:predict", content=f'{{"inputs": {shortest}}}').json()["outputs"]
    objects = client.post("/v1/models/half:predict", json={"instances": [{"x": float(value)} for value in values]})
    model = mlbuffet.load(models / "Flat.half", runtimes=small_runtimes())
    expected = model.predict({"x": values})["y"]
    for answer in (v2, rows, columns, objects.json()["predictions"]):
        np.testing.assert_array_equal(np.array(answer, np.float32), expected, strict=True)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [0.1, -1e-30]),
        ("float64", [0.1, 1e300]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("uint8", [0, 255]),
        ("bool", [True, False]),
        ("object", ["é", "a\0b"]),
        ("object", ["", "x" * 20_000]),
    ],
)
def test_values_come_back_as_they_were(client: httpx.Client, dtype: str, values: list[Any]) -> None:
    asked = {"signature_name": dtype, "instances": [values]}
    assert client.post("/v1/models/dtypes:predict", json=asked).json() == {"predictions": [values]}


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("half", {}, "neither 'instances' (rows) nor 'inputs' (columns)"),
        ("half", {**ROWS, "inputs": [1]}, "both 'instances' (rows) and 'inputs' (columns)"),
        (
            "half",
            {"instances": ["x", "y"]},
            "input 'x' holds 'x' at [0]; float32 takes numbers; a JSON String is not of",
        ),
        ("half", {"instances": [{"w": 1}]}, "row 0 of 'instances' lacks the input 'x'"),
        ("half", {"inputs": {"x": [1], "w": 1}}, "there is no input 'w'"),
        ("half", {"instances": [[1], [1, 2]]}, "ragged"),
        ("half", {"instances": [[1, 2]]}, "input 'x' has shape (1, 2); the model takes (any,)"),
        ("half", {"signature_name": 100}, "'signature_name' key must be a string value."),
        ("half", {"signature_name": "s", **ROWS}, 'Serving signature name: "s" not found in signature def'),
        ("dtypes", ROWS, 'Serving signature name: "serving_default" not found in signature def'),
        ("dtypes", {"signature_name": "int64", "instances": [1.5]}, "is not of expected type: int64"),
        ("dtypes", {"signature_name": "complex64", "inputs": [1]}, "complex64, for which the protocol has no form"),
        ("dtypes", {"signature_name": "object", "inputs": {"b64": "_w=="}}, "is '_w==', which is not base64"),
        (
            "dtypes",
            {"signature_name": "object", "inputs": {"b64": "/w=="}},
            "output 'x' holds bytes that are not UTF-8",
        ),
        ("dtypes", {"signature_name": "float32", "inputs": 1, "a": [{}]}, None),
        ("dtypes", {"signature_name": "float32", "instances": [1] * 3}, None),
    ],
)
def test_a_request_that_does_not_fit_is_400_with_the_reason(
    client: httpx.Client, model: str, body: dict[str, Any], message: str | None
) -> None:
    answer = client.post(f"/v1/models/{model}:predict", json=body)
    assert answer.status_code == (400 if message else 200)
    assert message is None or message in answer.json()["error"]
    assert client.post("/v1/models/half:predict", json=ROWS).status_code == 200


@pytest.mark.parametrize("verb", ["predict", "classify", "regress"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"not json",
        b'{"instances": [1]',
        b'{"instances": [1]} x',
        b"\xff",
        b'{"signature_name": "\xff"}',
        b'{"instances": ["\\ud800"]}',
        b"[" * 60_000,
        b'{"instances": ' + b"[" * 50_000,
        b'{"examples": ' + b"[" * 50_000,
        b'{"instances": [1' + b"0" * 5000 + b"]}",
    ],
)
def test_a_body_that_is_no_request_is_400_at_once(client: httpx.Client, verb: str, body: bytes) -> None:
    begin = time.perf_counter()
    answer = client.post(f"/v1/models/half:{verb}", content=body)
    assert time.perf_counter() - begin < 1  # 100 ms on a machine that does nothing else
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_failure_of_the_runtime_is_500_and_its_text_stays_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/v1/models/half:predict", json={"instances": [1, 666]})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the model failed to compute signature 'serving_default'; the server's log has the cause"
    }
    assert "a secret of the inside" in caplog.text


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (b"not gzip", "gzip", 400, "not valid gzip"),
        (BOMB, "gzip", 413, f"larger than {LIMIT} bytes"),
        (b"{}", "br", 415, "'br' is not known; there are: gzip, deflate"),
        (b" " * (LIMIT + 1), "identity", 413, f"larger than {LIMIT} bytes"),
    ],
)
def test_a_body_that_cannot_be_unpacked_or_is_too_large_is_refused(
    client: httpx.Client, body: bytes, encoding: str, status: int, message: str
) -> None:
    answer = client.post("/v1/models/half:predict", content=body, headers={"Content-Encoding": encoding})
    assert (answer.status_code, message in answer.json()["error"]) == (status, True)


def test_a_body_of_unknown_length_is_refused_at_the_limit(client: httpx.Client) -> None:
    assert client.post("/v1/models/half:predict", content=(b" " * LIMIT for _ in range(2))).status_code == 413


def test_requests_and_answers_are_compressed(client: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"instances": list(range(1000, 2000))}).encode())
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    answer = client.post("/v1/models/half:predict", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert answer.json()["predictions"][-1] == 1001.5


# addresses


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/V1/Models", 400, "Missing model name in request."),
        ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
        ("GET", "/v1", 400, "Malformed request: GET /v1"),
        ("GET", "/v1/", 400, "Malformed request: GET /v1/"),
        ("GET", "/v1/models/", 400, "Malformed request: GET /v1/models/"),
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("POST", "/v1/models/half/metadata", 400, "Malformed request: POST /v1/models/half/metadata"),
        ("POST", "/v1/models/half:explain", 400, "Malformed request: POST /v1/models/half:explain"),
        ("GET", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("GET", "/v1/models/debug/model_name", 400, "Malformed request: GET /v1/models/debug/model_name"),
        (
            "POST",
            "/v1/models/half/version/50:regress",
            400,
            "Malformed request: POST /v1/models/half/version/50:regress",
        ),
        ("POST", "/v1/models/half/versions/HELLO:regress", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/50/labels/l:regress", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/-1:predict", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/1.0:predict", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/1_0:predict", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/%D9%A1:predict", 400, "Malformed request"),
        ("POST", "/v1/models/half/versions/18446744073709551615:regress", 400, "Failed to convert version: 184467"),
        ("GET", "/v1/models/half/versions/9223372036854775808", 400, "Failed to convert version"),
        ("GET", "/v1/models/half/versions/" + "9" * 5000, 400, "Failed to convert version"),
        ("GET", "/v1/models/half/versions/9223372036854775807", 404, "Could not find version 9223372036854775807 of"),
        ("POST", "/v1/models/half/labels/stable:predict", 400, "Unrecognized servable version label: stable"),
        ("GET", "/v1/models/half/labels/stable", 400, "Unrecognized servable version label: stable"),
        ("GET", "/v1/models/half/labels/stable/metadata", 400, "Unrecognized servable version label: stable"),
        ("POST", "/v1/models/m:predict", 404, "Servable not found for request: Latest(m)"),
        ("POST", "/v1/models/HALF:predict", 404, "Servable not found for request: Latest(HALF)"),
        ("POST", "/v1/models/half/versions/9:predict", 404, "Servable not found for request: Specific(half, 9)"),
        ("GET", "/v1/models/m/metadata", 404, "Servable not found for request: Latest(m)"),
        ("GET", "/v1/models/m", 404, "Could not find any versions of model m"),
        ("GET", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
    ],
)
def test_an_address_that_is_not_there_is_refused(
    client: httpx.Client, method: str, path: str, status: int, message: str
) -> None:
    answered, content = ask(client, method, path, json.dumps(ROWS).encode() if method == "POST" else None)
    assert (answered, content["error"].startswith(message)) == (status, True), content


@pytest.mark.parametrize("verb", ["", "/metadata", ":predict", ":classify", ":regress"])
@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2fb", "a%00b", "a%0d%0ab", "n" * 256])
def test_a_name_that_no_model_can_have_is_refused(client: httpx.Client, name: str, verb: str) -> None:
    method = "POST" if ":" in verb else "GET"
    status, content = ask(client, method, f"/v1/models/{name}{verb}", b'{"instances": [1]}')
    assert status in (400, 404)
    assert content["error"]


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/v1/models/half:predict", "POST"), ("/v1/models/half", "GET, HEAD"), ("/v1", "GET, HEAD, POST")],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(client: httpx.Client, path: str, allow: str) -> None:
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert ", ".join(sorted(answer.headers["allow"].split(", "))) == allow


# states and metadata


def status_of(version: str, state: str, code: str = "OK", message: str = "") -> dict[str, Any]:
    return {"version": version, "state": state, "status": {"error_code": code, "error_message": message}}


def test_the_states_of_all_versions_are_shown_the_newest_first(client: httpx.Client) -> None:
    both = [status_of("123", "AVAILABLE"), status_of("1", "AVAILABLE")]
    assert client.get("/v1/models/half").json() == {"model_version_status": both}
    assert client.get("/v1/models/half/versions/0").json() == {"model_version_status": both}
    assert client.get("/v1/models/half/versions/00000123").json() == {"model_version_status": both[:1]}


def test_a_model_that_failed_has_ended_with_its_reason_and_answers_503(client: httpx.Client, models: Path) -> None:
    (status,) = client.get("/v1/models/bad").json()["model_version_status"]
    assert (status["state"], status["status"]["error_code"]) == ("END", "INTERNAL")
    assert "the model cannot be loaded" in status["status"]["error_message"]
    for answer in (
        client.post("/v1/models/bad:predict", json=ROWS),
        client.post("/v1/models/bad:classify", json={"examples": [{}]}),
        client.get("/v1/models/bad/metadata"),
    ):
        assert answer.status_code == 503
        assert "the model cannot be loaded" in answer.json()["error"]
        assert str(models) not in answer.text


def test_a_model_that_was_unloaded_has_ended(client: httpx.Client) -> None:
    client.post("/v2/repository/models/Flat/unload")
    assert client.get("/v1/models/Flat").json()["model_version_status"] == [status_of("1", "END")]
    assert client.post("/v1/models/Flat:predict", json=ROWS).status_code == 503
    client.post("/v2/repository/models/Flat/load")
    assert client.post("/v1/models/Flat:predict", json=ROWS).status_code == 200


def test_a_model_that_is_being_loaded_says_so(slow: ModelRepository, may_load: Event, run_app: RunApp) -> None:
    loaded = Event()
    with run_app(create_app(slow, on_loaded=loaded.set)) as client:
        assert client.get("/v1/models/half").json()["model_version_status"] == [status_of("1", "LOADING")]
        answer = client.post("/v1/models/half:predict", json=ROWS)
        assert (answer.status_code, "it is being loaded" in answer.json()["error"]) == (503, True)
        may_load.set()
        assert loaded.wait(120)
        assert client.post("/v1/models/half:predict", json=ROWS).status_code == 200


def test_metadata_shows_every_signature(client: httpx.Client) -> None:
    for address, version in (("half", "123"), ("half/versions/1", "1")):
        shown = client.get(f"/v1/models/{address}/metadata").json()
        assert shown["model_spec"] == {"name": "half", "signature_name": "", "version": version}
        assert list(shown["metadata"]["signature_def"]["signature_def"]) == ["serving_default", "both"]


# shapes that the signature does not have, and signatures that classify and regress


class Loose:
    """Takes shapes as they come: it refuses a rank of 3, stumbles over 4, and divides the bytes of examples by 2."""

    takes_any_shape = True

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".loose"

    @hookimpl
    def load(self, path: Path, options: Any) -> str:
        return ""

    @hookimpl
    def signature(self, model: str) -> Signatures:
        x, y = (TensorSpec(name, np.float32, (None, 1)) for name in "xy")
        text, values, scores = (
            TensorSpec("inputs", object, (None,)),
            TensorSpec("outputs", np.float32, (None,)),
            TensorSpec("scores", np.float32, (None, 1)),
        )
        return Signatures(
            {
                "serving_default": Signature([x], [y]),
                "regress": Signature([text], [values]),
                "classify": Signature([text], [scores, TensorSpec("classes", object, (None, 1))]),
            }
        )

    @hookimpl
    def predict(self, model: str, signature: str, inputs: Tensors) -> Tensors:
        if signature != "serving_default":
            sizes = np.array([len(example) / 2 for example in inputs["inputs"]], np.float32)
            column = sizes.reshape(-1, 1)
            return (
                {"outputs": sizes} if signature == "regress" else {"scores": column, "classes": column.astype("O") * 0}
            )
        if inputs["x"].ndim == 3:
            raise InvalidInput("input 'x' has a rank of 3")
        if inputs["x"].ndim == 4 or 666 in inputs["x"]:
            raise ValueError("a secret of the inside")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def loose(tmp_path: Path, run_app: RunApp) -> Iterator[httpx.Client]:
    (tmp_path / "m.loose").touch()
    runtimes = Runtimes()
    runtimes.register(Loose, name="loose")
    repository = ModelRepository(runtimes)
    repository.update([StoredModel("m", (StoredVersion("m", 1, tmp_path / "m.loose"),))])
    loaded = Event()
    with run_app(create_app(repository, on_loaded=loaded.set)) as client:
        assert loaded.wait(120)
        yield client


def test_a_runtime_that_takes_any_shape_gets_what_was_sent_under_v1_alone(loose: httpx.Client) -> None:
    answer = loose.post("/v1/models/m:predict", json={"instances": [1, 2]})
    assert answer.json() == {"predictions": [2.0, 4.0]}
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
    assert loose.post("/v2/models/m/infer", json={"inputs": [tensor]}).status_code == 400


@pytest.mark.parametrize(
    ("instances", "status", "message"),
    [
        ([[[1.0]]], 400, "input 'x' has a rank of 3"),
        ([[[[1.0]]]], 400, "input 'x' has shape (1, 1, 1, 1); the model takes (any, 1)"),
        ([[666.0]], 500, "the model failed to compute"),
    ],
)
def test_a_shape_at_which_the_runtime_fails_is_the_callers_fault(
    loose: httpx.Client, instances: Any, status: int, message: str
) -> None:
    answer = loose.post("/v1/models/m:predict", json={"instances": instances})
    assert (answer.status_code, message in answer.json()["error"]) == (status, True)


def test_signatures_without_a_method_regress_by_their_tensors(loose: httpx.Client) -> None:
    asked = {"signature_name": "regress", "context": {"c": "abc"}, "examples": [{"x": 1.0}, {"x": [1.0, 2.0]}, {}]}
    assert loose.post("/v1/models/m:regress", json=asked).json() == {"results": [16.5, 18.5, 9.0]}
    refused = loose.post("/v1/models/m:regress", json={"examples": [{"x": 1.0}]})
    assert (refused.status_code, "cannot regress" in refused.json()["error"]) == (400, True)


def test_what_a_runtime_gives_as_classes_is_held_against_their_type(loose: httpx.Client) -> None:
    asked = {"signature_name": "classify", "examples": [{"x": 1.0}]}
    assert loose.post("/v1/models/m:classify", json=asked).status_code == 500
