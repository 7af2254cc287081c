"""TensorFlow Serving's REST API with real models: its own documented commands and tests, and ovmsclient."""

# mypy: allow-untyped-decorators

import json
import re
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import ovmsclient
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

import mlbuffet
from mlbuffet import Runtimes
from mlbuffet.server.http.log_format import HumanFormatter
from mlbuffet.server.protocols.tensorflow_serving.example_message import encode_example
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from onnx_linear import save_linear
from tensorflow_module import save_second

v1 = tf.compat.v1
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
"""One pixel, of value 128."""


def save_half_plus(path: Path, two: float, three: float, names: Mapping[str, str]) -> None:
    """A model as those of TensorFlow Serving's own tests: y = x / 2 + 2, of numbers and of serialized examples.

    ``names`` are the signatures, with what each computes from what, such as "regress examples y".
    """
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, name="tf_example")
        features = v1.io.parse_example(
            examples, {"x": v1.io.FixedLenFeature([1], tf.float32), "x2": v1.io.FixedLenFeature([1], tf.float32, [0.0])}
        )
        for feature in features.values():
            feature.set_shape([None, 1])
        half = v1.get_variable("a", initializer=0.5)
        x, x2 = tf.identity(features["x"], "x"), tf.identity(features["x2"], "x2")
        tensors = {"examples": examples, "x": x, "x2": x2, "y": tf.add(half * x, two, "y")}
        tensors |= {"y2": tf.add(half * x, three, "y2"), "y3": tf.add(half * x2, three, "y3")}
        ports = {"predict": ("x", "y"), "regress": ("inputs", "outputs"), "classify": ("inputs", "scores")}
        signatures = {}
        for name, described in names.items():
            method, given_, computed = described.split()
            into, out = ports[method]
            signatures[name] = v1.saved_model.build_signature_def(
                {into: v1.saved_model.build_tensor_info(tensors[given_])},
                {out: v1.saved_model.build_tensor_info(tensors[computed])},
                f"tensorflow/serving/{method}",
            )
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def misdeclare(path: Path) -> None:
    """As TensorFlow Serving's own half_plus_three is: DT_FLOAT of no shape for every tensor, text among them."""
    message = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for definition in message.meta_graphs[0].signature_def.values():
        for info in (*definition.inputs.values(), *definition.outputs.values()):
            info.dtype = 1
            info.ClearField("tensor_shape")
    (path / "saved_model.pb").write_bytes(message.SerializeToString())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    two = {
        "serving_default": "predict x y",
        "regress_x_to_y": "regress examples y",
        "regress_x_to_y2": "regress examples y2",
        "regress_x2_to_y3": "regress x2 y3",
        "classify_x_to_y": "classify examples y",
        "classify_x2_to_y3": "classify x2 y3",
    }
    save_half_plus(root / "default" / "00000123", 2.0, 3.0, two)
    three = {"serving_default": "predict x y", "tensorflow/serving/regress": "regress examples y"}
    three["classify"] = "classify examples y"
    save_half_plus(root / "saved_model_half_plus_three" / "00000123", 3.0, 4.0, three)
    misdeclare(root / "saved_model_half_plus_three" / "00000123")
    save_second(root / "second" / "1")
    save_linear(root / "linear.onnx")
    return root


@pytest.fixture(scope="module")
def client(
    models: Path, installed: Runtimes, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    with serve(models, runtimes=installed) as client:
        yield client


def post(client: httpx.Client, address: str, **body: Any) -> Any:
    answer = client.post(f"/v1/models/{address}", json=body)
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["error"])


# what TensorFlow Serving's documentation (g3doc/api_rest.md) shows

AVAILABLE = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
HOST = "localhost:8501"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (f"curl http://{HOST}/v1/models/saved_model_half_plus_three", {"model_version_status": [AVAILABLE]}),
        (
            "curl -d '{\"instances\": [1.0,2.0,5.0]}' "
            f"-X POST http://{HOST}/v1/models/saved_model_half_plus_three:predict",
            {"predictions": [3.5, 4.0, 5.5]},
        ),
        (
            'curl -d \'{"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}\' '
            f"-X POST http://{HOST}/v1/models/saved_model_half_plus_three:regress",
            {"results": [3.5, 4.0]},
        ),
        (
            f"curl -i -d '{{\"instances\": [1.0,5.0]}}' -X POST http://{HOST}/v1/models/half:predict",
            {"error": "Servable not found for request: Latest(half)"},
        ),
    ],
)
def test_the_documented_commands_answer_as_documented(
    client: httpx.Client, command: str, answer: dict[str, Any]
) -> None:
    here = command.replace("curl", "curl --noproxy '*'").replace(HOST, client.base_url.netloc.decode())
    shown = subprocess.run(["bash", "-c", here], capture_output=True, check=True, text=True, timeout=20).stdout
    head, _, body = shown.rpartition("\n\n")
    assert json.loads(body) == answer
    assert not head or head.startswith("HTTP/1.1 404 Not Found")


DOCUMENTED_ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]


def test_the_documented_rows_and_columns_of_several_tensors_mean_the_same(client: httpx.Client) -> None:
    columns = {name: [row[name] for row in DOCUMENTED_ROWS] for name in ("tag", "signal", "sensor")}
    predictions = post(client, "second:predict", signature_name="named", instances=DOCUMENTED_ROWS)["predictions"]
    assert predictions[1] == {"tag": "bar", "total": 15, "turned": [[4.0, 6.0], [5.0, 8.0]]}
    outputs = post(client, "second:predict", signature_name="named", inputs=columns)["outputs"]
    assert predictions == [{name: outputs[name][row] for name in outputs} for row in range(2)]


# what TensorFlow Serving's own tests (tensorflow_model_server_test.py, http_rest_api_handler_test.cc) send and expect


@pytest.mark.parametrize(
    ("verb", "body", "answer"),
    [
        ("predict", {"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
        ("predict", {"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
        ("predict", {"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ("predict", {"signature_name": "serving_default", "inputs": [3.0, 4.0]}, {"outputs": [3.5, 4.0]}),
        ("classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]}, {"results": [[["", 3.0]]]}),
        ("classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]}, {"results": [[["", 12.0]]]}),
        ("regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}]}, {"results": [3.0]}),
        ("regress", {"signature_name": "regress_x_to_y2", "examples": [{"x": 80.0}]}, {"results": [43.0]}),
    ],
)
@pytest.mark.parametrize("address", ["default", "default/versions/123"])
def test_published_requests_have_their_published_answers(
    client: httpx.Client, address: str, verb: str, body: dict[str, Any], answer: dict[str, Any]
) -> None:
    assert post(client, f"{address}:{verb}", **body) == answer


def test_metadata_is_the_published_one(client: httpx.Client) -> None:
    def info(name: str, dtype: str, *sizes: str, unknown: bool = False) -> dict[str, Any]:
        dims = [{"size": size, "name": ""} for size in sizes]
        return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": unknown}, "name": f"{name}:0"}

    shown = client.get("/v1/models/default/metadata").json()
    assert shown["model_spec"] == {"name": "default", "signature_name": "", "version": "123"}
    signatures = shown["metadata"]["signature_def"]["signature_def"]
    x, y, y2, x2, y3 = (info(name, "DT_FLOAT", "-1", "1") for name in ("x", "y", "y2", "x2", "y3"))
    examples = info("tf_example", "DT_STRING", unknown=True)

    def signature_def(method: str, into: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
        return {"inputs": into, "outputs": out, "method_name": f"tensorflow/serving/{method}", "defaults": {}}

    assert signatures == {
        "serving_default": signature_def("predict", {"x": x}, {"y": y}),
        "regress_x_to_y": signature_def("regress", {"inputs": examples}, {"outputs": y}),
        "regress_x_to_y2": signature_def("regress", {"inputs": examples}, {"outputs": y2}),
        "regress_x2_to_y3": signature_def("regress", {"inputs": x2}, {"outputs": y3}),
        "classify_x_to_y": signature_def("classify", {"inputs": examples}, {"scores": y}),
        "classify_x2_to_y3": signature_def("classify", {"inputs": x2}, {"scores": y3}),
    }


def test_a_signature_that_misdeclares_its_tensors_answers_and_is_shown_as_the_graph_is(client: httpx.Client) -> None:
    address, examples = "saved_model_half_plus_three", [{"x": 1.0}, {"x": 2.0}]
    classes = post(client, f"{address}:classify", signature_name="classify", examples=examples)
    assert classes == {"results": [[["", 3.5]], [["", 4.0]]]}
    shown = client.get(f"/v1/models/{address}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert shown["tensorflow/serving/regress"]["inputs"]["inputs"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [], "unknown_rank": True},
        "name": "tf_example:0",
    }
    assert shown["serving_default"]["outputs"]["y"]["tensor_shape"]["dim"] == [
        {"size": "-1", "name": ""},
        {"size": "1", "name": ""},
    ]


@pytest.mark.parametrize(
    ("model", "signature", "side", "tensor", "name"),
    [
        ("second", "dense", "inputs", "x", r"dense_x:0"),
        ("second", "dense", "outputs", "y", r"(Stateful)?PartitionedCall(_\d+)?:0"),
        ("second", "image", "outputs", "pixel", r"(Stateful)?PartitionedCall(_\d+)?:2"),
        ("linear", "serving_default", "inputs", "x", r"x:0"),  # of a runtime that knows no other
        ("linear", "serving_default", "outputs", "y", r"y:0"),
    ],
)
def test_metadata_has_the_names_of_the_file(
    client: httpx.Client, model: str, signature: str, side: str, tensor: str, name: str
) -> None:
    shown = client.get(f"/v1/models/{model}/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert re.fullmatch(name, shown[signature][side][tensor]["name"])


# models of TensorFlow 2 and of ONNX


def test_signatures_without_a_method_classify_and_regress(client: httpx.Client) -> None:
    examples = [{"x": [0.0, 0.0]}, {"x": [1.5, 1.5]}]
    results = post(client, "second:classify", signature_name="classify", examples=examples)["results"]
    assert results == [[["cat", 0.5], ["dog", 0.5]]] * 2
    shared = post(client, "second:regress", signature_name="regress", context={"x": 8.0}, examples=[{}, {"other": 1}])
    assert shared == {"results": [4.0, 4.0]}


@pytest.mark.parametrize(
    ("address", "body", "status", "message"),
    [
        ("default:classify", {"signature_name": "regress_x_to_y"}, 400, "'regress_x_to_y' cannot classify"),
        (
            "default:regress",
            {"signature_name": "regress_x2_to_y3"},
            400,
            "takes 'inputs' alone, serialized tf.Examples",
        ),
        ("linear:regress", {}, 400, "signature 'serving_default' cannot regress"),
        (
            "default:regress",
            {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": "a"}]},
            400,
            "the feature 'x' of the tf.Example 1 of the inputs came as string, and the model takes float",
        ),
        (
            "default:regress",
            {"signature_name": "regress_x_to_y", "examples": [{"w": 1.0}]},
            400,
            "lacks the feature 'x'",
        ),
        ("default:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": [1.5, 2]}]}, 400, "has 2 values"),
    ],
)
def test_examples_that_a_signature_does_not_take_are_refused(
    client: httpx.Client, address: str, body: dict[str, Any], status: int, message: str
) -> None:
    answered, error = post(client, address, **{"examples": [{"x": 1.0}], **body})
    assert (answered, message in error) == (status, True), error


def test_images_travel_as_base64(client: httpx.Client) -> None:
    image = {"b64": b64encode(PNG).decode()}
    (row,) = post(client, "second:predict", signature_name="image", instances=[image])["predictions"]
    assert row == {"pixel": 128, "image_bytes": image, "name": "é"}
    (row,) = post(client, "second:predict", signature_name="image", instances=[{"image_bytes": image}])["predictions"]
    assert row["pixel"] == 128
    status, error = post(client, "second:predict", signature_name="image", instances=["no image"])
    assert (status, error) == (400, "an image among the inputs cannot be decoded")


@pytest.mark.parametrize(
    ("signature", "body", "status", "message"),
    [
        ("dense", {"instances": [[1.0, 2.0]]}, 400, "the shapes of the inputs do not fit"),
        ("dense", {"instances": [1.0, 2.0, 3.0]}, 400, ""),
        ("dense", {"instances": [[[[1.0, 2.0]]]]}, 400, ""),
        ("named", {"instances": [{"tag": "a", "signal": 1, "sensor": 1}]}, 400, ""),
        ("named", {"instances": [{**DOCUMENTED_ROWS[0], "signal": [1.5]}]}, 400, "is not of expected type: int64"),
        ("scalar", {"inputs": 1.0}, 200, ""),
        ("scalar", {"instances": [1.0]}, 400, ""),
        ("nope", {"instances": [1.0]}, 400, 'Serving signature name: "nope" not found in signature def'),
        (None, {"instances": [1.0]}, 400, 'Serving signature name: "serving_default" not found in signature def'),
    ],
)
def test_what_tensorflow_cannot_take_is_400_and_a_control_request_works(
    client: httpx.Client, signature: str | None, body: dict[str, Any], status: int, message: str
) -> None:
    named = {} if signature is None else {"signature_name": signature}
    answer = client.post("/v1/models/second:predict", json={**named, **body})
    assert answer.status_code == status, answer.text
    assert message in answer.text.replace('\\"', '"')
    assert post(client, "default:predict", instances=[1.0]) == {"predictions": [2.5]}


CHECKED_BY_V2 = {
    "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [-1]}],
    "parameters": {"signature_name": "checked"},
}


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/v1/models/second:predict", {"signature_name": "checked", "instances": [-1.0]}),
        ("/v2/models/second/infer", CHECKED_BY_V2),
    ],
)
def test_why_a_model_refuses_its_input_is_told_to_the_client_and_with_its_request_to_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, address: str, body: dict[str, Any]
) -> None:
    caplog.handler.setFormatter(HumanFormatter())
    answer = client.post(address, json=body, headers={"X-Request-Id": "of-mine"})
    refused = 'the inputs do not hold what the model itself checks: x is in "km/h",\nand >= 0'
    assert (answer.status_code, answer.json()) == (400, {"error": refused})
    (line,) = caplog.text.splitlines()
    assert line.startswith(f"WARNING mlbuffet.server.errors: POST {address}: the inputs do not hold")
    assert "Condition x >= 0" in line
    assert line.endswith("[request of-mine]")


def test_what_a_client_sent_is_no_line_or_colour_of_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(HumanFormatter())
    name = "\x1b[31mERROR \u202e"
    examples = [{"x": 1.0}, {name: 1.0, "x": "a\nb" + name}]
    status, error = post(client, "default:regress", signature_name="regress_x_to_y", examples=examples)
    assert (status, "'x' of the tf.Example 1" in error) == (400, True)
    serialized = [{"b64": b64encode(b"\xff" + name.encode()).decode()}]
    status, error = post(client, "second:predict", signature_name="regress", instances=serialized)
    assert (status, error) == (400, "a serialized tf.Example among the inputs cannot be parsed")
    assert len(caplog.text.splitlines()) == 2
    assert caplog.text.replace("\n", "").isprintable()


def test_a_scalar_output_is_a_column(client: httpx.Client) -> None:
    assert post(client, "second:predict", signature_name="scalar", inputs=1.5) == {
        "outputs": {"rows": [1.5, 1.5, 1.5], "y": 3.0}
    }


@pytest.mark.parametrize("instances", [[1.0, 2.0, 3.0], [[1.0, 2.0]], [[[1.0, 2.0, 3.0]]]])
def test_a_shape_that_an_onnx_model_does_not_have_is_400(client: httpx.Client, instances: Any) -> None:
    status, error = post(client, "linear:predict", instances=instances)
    assert (status, "the model takes (" in error and ", 3)" in error) == (400, True)


@pytest.mark.parametrize(("model", "signature"), [("second", "dense"), ("linear", "serving_default")])
def test_a_prediction_is_the_same_to_the_last_bit_however_it_is_asked_for(
    client: httpx.Client, models: Path, model: str, signature: str
) -> None:
    x = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    path = models / ("second/1" if model == "second" else "linear.onnx")
    with mlbuffet.load(path) as loaded:
        expected = loaded.predict({"x": x}, signature=signature)["y"]
    values = x.tolist()
    header = {"inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32", "data": values}]}
    header["parameters"] = {"signature_name": signature}  # type: ignore[assignment]
    as_json = client.post(f"/v2/models/{model}/infer", json=header).json()["outputs"][0]["data"]
    del header["inputs"][0]["data"]
    header["inputs"][0]["parameters"] = {"binary_data_size": x.nbytes}
    text = json.dumps({**header, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    binary = client.post(
        f"/v2/models/{model}/infer",
        content=text + x.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(text))},
    )
    raw = binary.content[int(binary.headers["inference-header-content-length"]) :]
    named = {"signature_name": signature}
    answers = [
        np.array(as_json, np.float32).reshape(50, 2),
        np.frombuffer(raw, np.float32).reshape(50, 2),
        np.array(post(client, f"{model}:predict", instances=values, **named)["predictions"], np.float32),
        np.array(post(client, f"{model}:predict", inputs={"x": values}, **named)["outputs"], np.float32),
    ]
    for answer in answers:
        np.testing.assert_array_equal(answer.view(np.uint32), expected.view(np.uint32), strict=True)


# ovmsclient


@pytest.fixture(scope="module")
def ovms(client: httpx.Client) -> Any:
    return ovmsclient.make_http_client(client.base_url.netloc.decode())


@pytest.mark.parametrize("version", [0, 123])
def test_ovmsclient_predicts(ovms: Any, version: int) -> None:
    for x in ([2.0, 3.0], np.array([2, 3], np.float32), np.array([2, 3])):
        assert ovms.predict({"x": x}, "default", version).tolist() == [3.0, 3.5]
    assert ovms.predict({"x": 2.0}, "saved_model_half_plus_three").tolist() == [4.0]
    assert ovms.predict({"x": np.ones((1, 3))}, "linear").shape == (1, 2)


def test_ovmsclient_sees_states_and_metadata(ovms: Any) -> None:
    assert ovms.get_model_status("default") == {123: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert ovms.get_model_status("default", 123)[123]["state"] == "AVAILABLE"
    metadata = ovms.get_model_metadata("default")  # as it came: ovmsclient unpacks only its own server's spelling
    assert metadata["model_spec"]["version"] == "123"


def test_ovmsclient_sees_errors(ovms: Any) -> None:
    with pytest.raises(ModelNotFoundError, match=r"Servable not found for request: Latest\(nope\)"):
        ovms.predict({"x": [1.0]}, "nope")
    with pytest.raises(ModelNotFoundError, match=r"Specific\(default, 9\)"):
        ovms.predict({"x": [1.0]}, "default", 9)
    with pytest.raises(ModelNotFoundError, match="Could not find any versions of model nope"):
        ovms.get_model_status("nope")
    with pytest.raises(InvalidInputError, match="'inputs' lacks the input 'x'"):
        ovms.predict({"w": [1.0]}, "default")
    with pytest.raises(InvalidInputError, match="is not of expected type: float"):
        ovms.predict({"x": ["text"]}, "default")
    with pytest.raises(InvalidInputError, match="not found in signature def"):
        ovms.predict({"image_bytes": [PNG]}, "second")


# tf.Example

FEATURES = st.dictionaries(
    st.text(),
    st.lists(st.binary()) | st.lists(st.floats(width=32)) | st.lists(st.integers(-(2**63), 2**63 - 1)),
    max_size=4,
)


@given(FEATURES, FEATURES)
@settings(deadline=None)
def test_tensorflow_reads_an_example_as_it_was_meant(features: dict[str, Any], context: dict[str, Any]) -> None:
    expected = tf.train.Example()
    for name, values in {**context, **features}.items():
        feature = expected.features.feature[name]
        match values[:1]:
            case [bytes()]:
                feature.bytes_list.value.extend(values)
            case [float()]:
                feature.float_list.value.extend(values)
            case [int()]:
                feature.int64_list.value.extend(values)
    encoded = tf.train.Example.FromString(encode_example(context) + encode_example(features))
    assert str(encoded.features) == str(expected.features)  # as text, in which NaN equals NaN
