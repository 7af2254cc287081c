"""The cases that TensorFlow Serving tests itself, and what each gets here.

They are those of its http_rest_api_handler_test.cc, http_rest_api_util_test.cc and json_tensor_test.cc. What is
stricter here than there is marked so, and stands in docs/clients.md.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec
from mlbuffet.server.protocols.tensorflow_serving.examples import decode_examples
from mlbuffet.server.protocols.tensorflow_serving.requests import decode_predict
from mlbuffet.server.protocols.tensorflow_serving.responses import encode_columns, encode_rows
from small_runtimes import write_models

MALFORMED = "Malformed request: "
RESERVED = "%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D"
BEYOND = 2**64 - 1


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"half/00000123/m.half": "half", "half/model.toml": "[labels]\nstable = 123\n"}
    return write_models(tmp_path_factory.mktemp("models"), files)


@pytest.mark.parametrize(
    ("method", "address", "status", "error"),
    [
        ("GET", "foo", 400, MALFORMED + "GET /v1/foo"),
        ("POST", "foo", 400, MALFORMED + "POST /v1/foo"),
        ("GET", "models", 400, "Missing model name in request."),
        ("GET", "models/debug/model_name", 400, MALFORMED),
        ("POST", "models", 400, MALFORMED + "POST /v1/models"),
        ("GET", "models/foo:predict", 400, MALFORMED),
        ("GET", "models/foo/version/50:predict", 400, MALFORMED),
        ("POST", "models/foo/version/50:regress", 400, MALFORMED),
        ("POST", "models/foo/versions/HELLO:regress", 400, MALFORMED),
        ("POST", f"models/foo/versions/{BEYOND}:regress", 400, "Failed to convert version"),
        ("POST", "models/foo/metadata", 400, MALFORMED),
        ("POST", "models/foo/label/some_label:regress", 400, MALFORMED),
        ("POST", "models/foo/versions/50/labels/some_label:regress", 400, MALFORMED),
        ("POST", "models/foo/versions/some_label:regress", 400, MALFORMED),
        ("POST", "models/foo:predict", 404, "Servable not found for request: Latest(foo)"),
        ("POST", "models/foo/versions/50:predict", 404, "Servable not found for request: Specific(foo, 50)"),
        ("POST", "models/half99:predict", 404, "Servable not found for request: Latest(half99)"),
        ("POST", "models/half/labels/none:predict", 400, "Unrecognized servable version label"),
        ("GET", f"models/foo/labels/latest{RESERVED.replace('%2F', '')}", 400, "Unrecognized servable version label"),
        ("GET", f"models/name{RESERVED.replace('%2F', '').replace('%3A', '')}", 404, "Could not find any versions"),
    ],
)
def test_an_address_is_refused_in_their_words(
    client: httpx.Client, method: str, address: str, status: int, error: str
) -> None:
    answer = client.request(method, f"/v1/{address}", content=b'{"instances": [1]}' if method == "POST" else None)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"].startswith(error)


@pytest.mark.parametrize("address", ["half", "half/versions/123", "half/labels/stable"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
        ({"signature_name": "serving_default", "instances": [3.0, 4.0]}, {"predictions": [3.5, 4.0]}),
        ({"signature_name": "serving_default", "inputs": [3.0, 4.0]}, {"outputs": [3.5, 4.0]}),
    ],
)
def test_every_address_of_a_version_predicts(client: httpx.Client, address: str, body: Any, expected: Any) -> None:
    answer = client.post(f"/v1/models/{address}:predict", json=body)
    assert (answer.json(), answer.headers["content-type"]) == (expected, "application/json")
    assert [one["version"] for one in client.get(f"/v1/models/{address}").json()["model_version_status"]] == ["123"]
    assert client.get(f"/v1/models/{address}/metadata").json()["model_spec"]["version"] == "123"


def of(**dtypes: str) -> Signatures:
    specs = [TensorSpec(name, dtype, None) for name, dtype in dtypes.items()]
    return Signatures({"serving_default": Signature(specs, [])})


@pytest.mark.parametrize(
    ("dtypes", "body", "expected"),
    [
        ({"x": "int32"}, '{"instances": [[1,2],[3,4],[5,6]]}', {"x": [[1, 2], [3, 4], [5, 6]]}),
        ({"x": "float32"}, '{"instances": [1, 2.0, 5.003, 0.0]}', {"x": [1, 2, np.float32(5.003), 0]}),
        ({"x": "float64"}, '{"instances": [1.0, 2, 0.662]}', {"x": [1, 2, 0.662]}),
        ({"x": "float32"}, '{"instances": [1435774380]}', {"x": [1435774336]}),
        ({"x": "float32"}, '{"instances": [1435774380.0]}', {"x": [1435774336]}),
        ({"x": "float32"}, '{"instances": [2.2250738585072014e-308]}', {"x": [0]}),
        ({"x": "object"}, '{"instances": [{"b64":"aGVsbG8="},{"b64":"d29ybGQ="}]}', {"x": [b"hello", b"world"]}),
        (
            {"x": "object"},
            '{"instances": [[{"b64":"aGVsbG8="}],[{"b64":"d29ybGQ="}]]}',
            {"x": [[b"hello"], [b"world"]]},
        ),
        ({"x": "object"}, '{"instances": [{"x": [[{"b64":"aGVsbG8="}],["w"]]}]}', {"x": [[[b"hello"], [b"w"]]]}),
        (
            {"i": "int32", "s": "object", "f": "float32", "d": "float64"},
            '{"instances": [{"i": [[1],[2]], "s": ["a"], "f": [1.0, 3], "d": [4]},'
            ' {"d": [2.0], "f": [2.0, Infinity], "s": ["b"], "i": [[7],[8]]}]}',
            {"i": [[[1], [2]], [[7], [8]]], "s": [[b"a"], [b"b"]], "f": [[1, 3], [2, np.inf]], "d": [[4], [2]]},
        ),
        ({"i": "int32"}, '{"inputs": {"i": [[[1,2],[3,4]]]}}', {"i": [[[1, 2], [3, 4]]]}),
        ({"i": "int32"}, '{"inputs": [[[1,2],[3,4]]]}', {"i": [[[1, 2], [3, 4]]]}),
        (
            {"i": "int32", "s": "object", "b": "object"},
            '{"inputs": {"i": [[1,2]], "s": ["foo"], "b": {"b64": "aGVsbG8="}}}',
            {"i": [[1, 2]], "s": [b"foo"], "b": b"hello"},
        ),
    ],
)
def test_a_request_means_what_it_means_there(dtypes: dict[str, str], body: str, expected: dict[str, Any]) -> None:
    inputs = decode_predict(body.encode(), of(**dtypes)).inputs
    assert {name: array.tolist() for name, array in inputs.items()} == expected
    assert {name: str(array.dtype) for name, array in inputs.items()} == dtypes


INT = {"x": "int32"}
TWO = {"i": "int32", "s": "object"}


@pytest.mark.parametrize(
    ("dtypes", "body", "message"),
    [
        (INT, "", "not valid JSON"),
        (INT, "instances = [1, 2]", "not valid JSON"),
        (INT, '{"signature_name": 5, "instances": [[1,2],[5,6,7]]}', "'signature_name' key must be a string value."),
        (INT, '{"signature_name":' + "[" * 900 + "]" * 900 + "}", "key must be a string value"),
        (INT, '{"instances": [[1]], "inputs": [[1]]}', "both 'instances' (rows) and 'inputs' (columns)"),
        (INT, '{"instances": [[1,2],[3,4],[5,6,7]]}', "ragged"),
        (INT, '{"instances": [[1,2],[3,4],[[5,6]]]}', "ragged"),
        (INT, '{"instances": [1, [1]]}', "input 'x' holds [1] at [1]"),
        (INT, '{"instances": [[1,2],["a","b"]]}', "is not of expected type: int32"),
        ({"x": "float32"}, '{"instances": ["x","y"]}', "is not of expected type: float"),
        (TWO, '{"instances": [{"i":[[1],[2]],"s":["a"]},{"i":[[[7],[8]]],"s":["b"]}]}', "input 'i' is ragged"),
        (TWO, '{"instances": [{"i":[[1],[2]],"s":["a"]},{"i":[[7]],"s":["b"]}]}', "input 'i' is ragged"),
        (TWO, '{"instances": [{"i":[1],"s":"a"},[1,20]]}', "row 1 of 'instances' is no object of named values"),
        ({"s": "object"}, '{"instances": [["b"],{"s":["c"]}]}', "input 's' is ragged"),
        # stricter than there
        (INT, '{"instances":[1], "nested":' + "[" * 5000 + "]" * 5000 + "}", "nested too deep"),
        ({"x": "float32"}, '{"instances": [1.7976931348623157e308]}', "out of the range of float32"),
        ({"x": "float32"}, '{"instances": [-1.7976931348623157e308]}', "out of the range of float32"),
        (INT, '{"instances": [1], "instances": [2]}', "given twice"),
    ],
)
def test_a_request_is_refused_as_it_is_there_or_more_strictly(dtypes: dict[str, str], body: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_predict(body.encode(), of(**dtypes))
    assert message in str(caught.value)


TEXTS = np.array([[b"hello", b"world"], [b"tf", b"serving"]], object)
FLOATS = np.array([[9000000, 999999, 0.5], [0.0003, 0.00003, 555557.5]], np.float32)


@pytest.mark.parametrize(
    ("outputs", "rows"),
    [
        ({"y": np.arange(12, dtype=np.int32).reshape(2, 3, 2)}, "[[[0,1],[2,3],[4,5]],[[6,7],[8,9],[10,11]]]"),
        ({"y": np.arange(1, 6, dtype=np.int32)}, "[1,2,3,4,5]"),
        (
            {"str_tensor_bytes": TEXTS},
            '[[{"b64":"aGVsbG8="},{"b64":"d29ybGQ="}],[{"b64":"dGY="},{"b64":"c2VydmluZw=="}]]',
        ),
        ({"y": FLOATS}, "[[9000000.0,999999.0,0.5],[0.0003,0.00003,555557.5]]"),  # 9e+06 and 3e-05 there
        ({"y": np.array([[np.nan, np.inf], [3, -np.inf]], np.float32)}, "[[NaN,Infinity],[3.0,-Infinity]]"),
        ({"y": np.zeros((0, 2), np.int32)}, "[]"),
        ({"s": np.empty((0, 1, 2), object), "f": np.zeros((0, 3, 4), np.float32)}, "[]"),
    ],
)
def test_outputs_are_written_as_there(outputs: dict[str, np.ndarray], rows: str) -> None:
    assert encode_rows(outputs).decode() == f'{{"predictions":{rows}}}'
    if len(outputs) == 1:
        assert encode_columns(outputs).decode() == f'{{"outputs":{rows}}}'


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "there are none"),
        ({"y": np.zeros(2, np.complex64)}, "complex64"),
        ({"i": np.zeros((2, 3), np.int32), "s": np.full((1, 3), b"a", object)}, "differ in their number of rows"),
        ({"i": np.zeros((0, 2), np.int32), "s": np.full((1, 2), b"a", object)}, "differ in their number of rows"),
    ],
)
def test_outputs_are_refused_as_there(outputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_rows(outputs)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"signature_name": ["hello"], "examples": [{"names": ["foo"]}]}, "'signature_name' key must be a string"),
        ({"context": [{"names": ["foo"]}]}, "no 'examples', a list"),
        ({"examples": {"names": ["foo"]}}, "'examples' is an object; it must be a list"),
        ({"examples": [[{"names": ["foo"]}]]}, "example 0 is no object of features"),
        ({"context": [{}], "examples": [{"names": ["foo"]}]}, "'context' is no object of features"),
        ({"examples": [{"names": [10, None]}]}, "feature 'names' of example 0 holds null"),
        ({"examples": [{"names": [10, {"test": 10}]}]}, "feature 'names' of example 0 holds an object"),
        ({"examples": [{"names": [[10], 20]}]}, "feature 'names' of example 0 holds a list within a list"),
        ({"examples": [{"names": [20, 18446744073709551603]}]}, "out of the range of int64"),
    ],
)
def test_examples_are_refused_as_there(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_examples(json.dumps(members).encode(), of(inputs="object"))
    assert message in str(caught.value)
