"""TensorFlow Serving's messages: every form of a tensor, specifications of models, states, metadata, faults."""

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc import StatusCode

from faults import LIMIT
from grpc_calls import Serve, call
from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages import tensorflow_serving as messages
from mlbuffet.grpc.messages.tensorflow_core import Example, TensorProto
from mlbuffet.inference import ModelSelector
from mlbuffet.server import ServerSettings
from mlbuffet.server.protocols.tensorflow_serving.examples import with_context
from mlbuffet.server.protocols.tensorflow_serving.grpc_prediction import Predict
from mlbuffet.server.protocols.tensorflow_serving.grpc_tensors import DTYPES, array_of, tensor_of
from mlbuffet.tensors import Signature, Signatures
from small_runtimes import OfExamples, small_runtimes, write_models

SERVICE = "/tensorflow.serving.PredictionService"
PREDICT, STATUS = f"{SERVICE}/Predict", "/tensorflow.serving.ModelService/GetModelStatus"
ECHO = "float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool object float16 bfloat16 complex64 int4"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, serve_grpc: Serve) -> Iterator[tuple[str, httpx.Client]]:
    files = {
        "half/1/a.half": "half",
        "half/3/a.half": "half",
        "half/model.toml": "[labels]\nstable = 1",
        "echo.echo": ECHO,
        "bad.half": "corrupt",
        "scored.examples": "",
    }
    runtimes = small_runtimes()
    runtimes.register(OfExamples, name="examples")
    models = write_models(tmp_path_factory.mktemp("models"), files)
    with serve_grpc(models, ServerSettings(max_body=LIMIT), runtimes) as found:
        yield found


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


def predict(spec: dict[str, Any], *filtered: str, **tensor: Any) -> messages.PredictRequest:
    return messages.PredictRequest(model_spec=spec, inputs={"x": TensorProto(**tensor)}, output_filter=filtered)


def half(*numbers: float, **spec: Any) -> messages.PredictRequest:
    shape = {"dim": [{"size": len(numbers)}]}
    return predict({"name": "half", **spec}, dtype="DT_FLOAT", tensor_shape=shape, float_val=numbers)


def predicted(channel: grpc.Channel, request: Any) -> messages.PredictResponse:
    code, details, body = call(channel, request, PREDICT)
    assert code is StatusCode.OK, details
    response: messages.PredictResponse = messages.PredictResponse.FromString(body)
    return response


def test_a_prediction_says_who_answered(channel: grpc.Channel) -> None:
    response = predicted(channel, half(1, 2, 5))
    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half", 3, "serving_default")


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({"version": {"value": 1}}, 1),
        ({"version": {"value": 0}}, 3),
        ({"version": {}}, 3),
        ({"version_label": "stable"}, 1),
        ({"signature_name": "both"}, 3),
    ],
)
def test_versions_labels_and_signatures(channel: grpc.Channel, spec: dict[str, Any], version: int) -> None:
    assert predicted(channel, half(1, **spec)).model_spec.version.value == version


def test_outputs_can_be_chosen(channel: grpc.Channel) -> None:
    request = predict(
        {"name": "half", "signature_name": "both"},
        "z",
        dtype="DT_FLOAT",
        tensor_shape={"dim": [{"size": 1}]},
        float_val=[4],
    )
    assert list(predicted(channel, request).outputs) == ["z"]


FORMS: dict[str, dict[str, Any]] = {
    "float32": {"float_val": [0.1, -0.0, np.inf]},
    "float64": {"double_val": [0.1, 1e300, -np.inf]},
    "int8": {"int_val": [-128, 0, 127]},
    "int16": {"int_val": [-(2**15), 0, 2**15 - 1]},
    "int32": {"int_val": [-(2**31), 0, 2**31 - 1]},
    "uint8": {"int_val": [0, 1, 255]},
    "uint16": {"int_val": [0, 1, 2**16 - 1]},
    "int64": {"int64_val": [-(2**63), 0, 2**63 - 1]},
    "uint32": {"uint32_val": [0, 1, 2**32 - 1]},
    "uint64": {"uint64_val": [0, 1, 2**64 - 1]},
    "bool": {"bool_val": [True, False, True]},
    "object": {"string_val": [b"", b"\xff\0", b"a"]},
    "float16": {"half_val": [0x3C00, 0x7C01, 0xFBFF]},
    "bfloat16": {"half_val": [0x3F80, 0x7F81, 0xFFFF]},
    "complex64": {"scomplex_val": [1, 2, 3, 4, 5, 6]},
    "int4": {"int_val": [-8, 0, 7]},
}
NUMBERS: dict[str, Any] = {str(dtype): number for number, dtype in DTYPES.items()}
WRONG_TASKS: list[tuple[list[Any], str]] = [
    ([], "no tasks"),
    ([{"model_spec": {"name": "scored"}}, {"model_spec": {"name": "half"}}], "one model"),
    ([{"model_spec": {"name": "scored"}, "method_name": "w"}], "the method of a task is 'w'"),
]


@pytest.mark.parametrize("dtype", FORMS)
def test_typed_values_come_back_as_they_were(channel: grpc.Channel, dtype: str) -> None:
    tensor = TensorProto(dtype=NUMBERS[dtype], tensor_shape={"dim": [{"size": 3}]}, **FORMS[dtype])
    request = predict({"name": "echo", "signature_name": dtype})
    request.inputs["x"].CopyFrom(tensor)
    assert predicted(channel, request).outputs["x"] == tensor


@pytest.mark.parametrize("dtype", sorted(FORMS.keys() - {"object"}))
def test_the_content_of_a_tensor_is_its_values(dtype: str) -> None:
    typed = TensorProto(dtype=NUMBERS[dtype], tensor_shape={"dim": [{"size": 3}]}, **FORMS[dtype])
    array = array_of(typed, "x", 0)
    raw = TensorProto(dtype=NUMBERS[dtype], tensor_shape={"dim": [{"size": 3}]}, tensor_content=array.tobytes())
    assert tensor_of(array_of(raw, "x", 0), "x") == typed


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], [0, 0, 0, 0]), ([7], [7, 7, 7, 7]), ([1, 2], [1, 2, 2, 2]), ([1, 2, 3, 4], [1, 2, 3, 4])],
)
def test_the_last_value_fills_the_shape(given: list[float], expected: list[float]) -> None:
    tensor = TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2}, {"size": 2}]}, float_val=given)
    array = array_of(tensor, "x", 100)
    assert (array.shape, array.ravel().tolist()) == ((2, 2), expected)


def test_text_fills_a_shape_too() -> None:
    tensor = TensorProto(dtype="DT_STRING", tensor_shape={"dim": [{"size": 2}]}, string_val=[b"a"])
    assert array_of(tensor, "x", 100).tolist() == [b"a", b"a"]
    assert array_of(TensorProto(dtype="DT_STRING"), "x", 100).tolist() == b""


def test_what_fills_all_shapes_of_a_request_has_one_limit() -> None:
    filled = TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 100}]}, float_val=[1])
    request = messages.PredictRequest(inputs={"a": filled, "b": filled})
    signatures = Signatures({"serving_default": Signature([], [])})
    selector = ModelSelector("half")
    assert len(Predict(800).decode(request, selector, signatures)[0].inputs) == 2
    with pytest.raises(InvalidInput, match="is larger than this server takes"):
        Predict(799).decode(request, selector, signatures)


def test_a_context_for_too_many_examples_is_refused() -> None:
    with pytest.raises(InvalidInput, match="send fewer examples at once"):
        with_context(bytes(2**20), [b""] * 65)
    assert with_context(b"c", [b"1", b"2"]).tolist() == [b"c1", b"c2"]


ONE, OVER = {"dim": [{"size": 1}]}, {"dim": [{"size": 2**30}]}
FLOAT = {"dtype": "DT_FLOAT", "tensor_shape": ONE, "float_val": [1]}
H = {"name": "half"}
REFUSED: dict[str, tuple[Any, StatusCode, str]] = {
    "no message": (b"\xff", StatusCode.INVALID_ARGUMENT, "no tensorflow.serving.PredictRequest"),
    "no model": (b"", StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
    "unknown model": (predict({"name": "nowhere"}, **FLOAT), StatusCode.NOT_FOUND, "no model 'nowhere'"),
    "unknown version": (predict({**H, "version": {"value": 9}}, **FLOAT), StatusCode.NOT_FOUND, "no version 9"),
    "negative version": (predict({**H, "version": {"value": -1}}, **FLOAT), StatusCode.INVALID_ARGUMENT, "is -1"),
    "unknown label": (
        predict({**H, "version_label": "w"}, **FLOAT),
        StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: w",
    ),
    "unknown signature": (
        predict({**H, "signature_name": "w"}, **FLOAT),
        StatusCode.INVALID_ARGUMENT,
        'Serving signature name: "w" not found in signature def',
    ),
    "a failed model": (predict({"name": "bad"}, **FLOAT), StatusCode.UNAVAILABLE, "is not ready"),
    "the model fails": (half(666), StatusCode.INTERNAL, "failed to compute"),
    "no inputs": (messages.PredictRequest(model_spec=H), StatusCode.INVALID_ARGUMENT, "input 'x' is missing"),
    "unknown output": (predict(H, "w", **FLOAT), StatusCode.INVALID_ARGUMENT, "no output 'w'"),
    "an output twice": (predict(H, "y", "y", **FLOAT), StatusCode.INVALID_ARGUMENT, "requested twice"),
    "no type": (predict(H, tensor_shape=ONE), StatusCode.INVALID_ARGUMENT, "of type DT_INVALID"),
    "a type that no input has": (predict(H, dtype="DT_RESOURCE"), StatusCode.INVALID_ARGUMENT, "DT_RESOURCE"),
    "a type of no name": (predict(H, dtype=1000), StatusCode.INVALID_ARGUMENT, "of type 1000"),
    "another dtype": (
        predict(H, dtype="DT_INT32", tensor_shape=ONE, int_val=[1]),
        StatusCode.INVALID_ARGUMENT,
        "input 'x'",
    ),
    "values of another type": (
        predict(H, dtype="DT_FLOAT", tensor_shape=ONE, int_val=[1]),
        StatusCode.INVALID_ARGUMENT,
        "has int_val; float has float_val",
    ),
    "both forms": (predict(H, **FLOAT, tensor_content=b"1234"), StatusCode.INVALID_ARGUMENT, "beside tensor_content"),
    "too few bytes": (
        predict(H, dtype="DT_FLOAT", tensor_shape=ONE, tensor_content=b"123"),
        StatusCode.INVALID_ARGUMENT,
        "has 3 bytes; float of shape [1] takes 4",
    ),
    "too many values": (
        predict(H, dtype="DT_FLOAT", tensor_shape=ONE, float_val=[1, 2]),
        StatusCode.INVALID_ARGUMENT,
        "has 2 values; its shape [1] holds 1",
    ),
    "text as content": (
        predict({"name": "echo", "signature_name": "object"}, dtype="DT_STRING", tensor_shape=ONE, tensor_content=b"a"),
        StatusCode.INVALID_ARGUMENT,
        "send string_val",
    ),
    "a bool that is 2": (
        predict({"name": "echo", "signature_name": "bool"}, dtype="DT_BOOL", tensor_shape=ONE, tensor_content=b"\2"),
        StatusCode.INVALID_ARGUMENT,
        "neither 0 nor 1",
    ),
    "half a complex number": (
        predict(
            {"name": "echo", "signature_name": "complex64"}, dtype="DT_COMPLEX64", tensor_shape=ONE, scomplex_val=[1]
        ),
        StatusCode.INVALID_ARGUMENT,
        "takes two",
    ),
    "out of range": (
        predict({"name": "echo", "signature_name": "int8"}, dtype="DT_INT8", tensor_shape=ONE, int_val=[300]),
        StatusCode.INVALID_ARGUMENT,
        "out of the range of int8",
    ),
    "unknown rank": (
        predict(H, dtype="DT_FLOAT", tensor_shape={"unknown_rank": True}),
        StatusCode.INVALID_ARGUMENT,
        "rank",
    ),
    "a negative size": (
        predict(H, dtype="DT_FLOAT", tensor_shape={"dim": [{"size": -1}]}),
        StatusCode.INVALID_ARGUMENT,
        "negative",
    ),
    "a shape that overflows": (
        predict(H, dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2**40}, {"size": 2**40}]}, float_val=[1]),
        StatusCode.INVALID_ARGUMENT,
        "too large for any tensor",
    ),
    "a value that fills too much": (
        predict(H, dtype="DT_FLOAT", tensor_shape=OVER, float_val=[1]),
        StatusCode.INVALID_ARGUMENT,
        "larger than this server takes (--max-body)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_request(channel: grpc.Channel, name: str) -> None:
    message, expected, text = REFUSED[name]
    code, details, _ = call(channel, message, PREDICT)
    assert (code, text in details) == (expected, True), details
    assert list(predicted(channel, half(2)).outputs["y"].float_val) == [3]


def example(**features: float) -> Example:
    return Example(features={"feature": {name: {"float_list": {"value": [value]}} for name, value in features.items()}})


A, B = example(x=1), example(x=1, longer=2)
SIZES = [float(len(one.SerializeToString())) for one in (A, B)]


def test_classes_and_values_of_examples(channel: grpc.Channel) -> None:
    spec, examples = {"name": "scored"}, {"example_list": {"examples": [A, B]}}
    body = call(channel, messages.ClassificationRequest(model_spec=spec, input=examples), f"{SERVICE}/Classify")[2]
    classes = messages.ClassificationResponse.FromString(body)
    found = [[(one.label, one.score) for one in row.classes] for row in classes.result.classifications]
    assert found == [[("a", size), ("b", -size)] for size in SIZES]
    assert classes.model_spec.version.value == 1
    wanted = messages.RegressionRequest(model_spec={**spec, "signature_name": "regress"}, input=examples)
    values = messages.RegressionResponse.FromString(call(channel, wanted, f"{SERVICE}/Regress")[2])
    assert [one.value for one in values.result.regressions] == SIZES


def test_a_context_is_in_each_example(channel: grpc.Channel) -> None:
    examples = {"example_list_with_context": {"examples": [A], "context": B}}
    asked = messages.RegressionRequest(model_spec={"name": "scored", "signature_name": "regress"}, input=examples)
    values = messages.RegressionResponse.FromString(call(channel, asked, f"{SERVICE}/Regress")[2])
    assert [one.value for one in values.result.regressions] == [sum(SIZES)]


def test_several_tasks_on_the_same_examples(channel: grpc.Channel) -> None:
    classify = {"model_spec": {"name": "scored"}, "method_name": "tensorflow/serving/classify"}
    regress = {
        "model_spec": {"name": "scored", "signature_name": "regress"},
        "method_name": "tensorflow/serving/regress",
    }
    request = messages.MultiInferenceRequest(tasks=[classify, regress], input={"example_list": {"examples": [A]}})
    code, details, body = call(channel, request, f"{SERVICE}/MultiInference")
    assert code is StatusCode.OK, details
    one, two = messages.MultiInferenceResponse.FromString(body).results
    assert len(one.classification_result.classifications) == 1
    assert two.regression_result.regressions[0].value == SIZES[0]


@pytest.mark.parametrize(("tasks", "text"), WRONG_TASKS)
def test_what_is_wrong_with_tasks(channel: grpc.Channel, tasks: list[Any], text: str) -> None:
    request = messages.MultiInferenceRequest(tasks=tasks, input={"example_list": {"examples": [A]}})
    code, details, _ = call(channel, request, f"{SERVICE}/MultiInference")
    assert (code, text in details) == (StatusCode.INVALID_ARGUMENT, True), details


def test_what_is_wrong_with_examples(channel: grpc.Channel) -> None:
    for request, text in (
        (messages.ClassificationRequest(model_spec={"name": "scored"}), "Input is empty"),
        (messages.ClassificationRequest(model_spec=H, input={"example_list": {"examples": [A]}}), "cannot classify"),
    ):
        code, details, _ = call(channel, request, f"{SERVICE}/Classify")
        assert (code, text in details) == (StatusCode.INVALID_ARGUMENT, True), details


def test_the_signatures_of_a_model(channel: grpc.Channel, http: httpx.Client) -> None:
    request = messages.GetModelMetadataRequest(model_spec=H, metadata_field=["signature_def"])
    response = messages.GetModelMetadataResponse.FromString(call(channel, request, f"{SERVICE}/GetModelMetadata")[2])
    assert response.model_spec.version.value == 3
    signatures = messages.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    theirs = http.get("/v1/models/half/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signatures.signature_def.keys() == theirs.keys()
    x = signatures.signature_def["both"].inputs["x"]
    assert (x.name, x.dtype, x.tensor_shape.dim[0].size) == ("x:0", 1, -1)
    for wrong in ([], ["other"], ["signature_def", "other"]):
        wanted = messages.GetModelMetadataRequest(model_spec=H, metadata_field=wrong)
        assert call(channel, wanted, f"{SERVICE}/GetModelMetadata")[0] is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("spec", "versions"),
    [
        (H, [(3, 30, 0), (1, 30, 0)]),
        ({**H, "version": {"value": 1}}, [(1, 30, 0)]),
        ({**H, "version_label": "stable"}, [(1, 30, 0)]),
        ({"name": "bad"}, [(1, 50, 13)]),
    ],
)
def test_the_states_of_versions(
    channel: grpc.Channel, spec: dict[str, Any], versions: list[tuple[int, int, int]]
) -> None:
    body = call(channel, messages.GetModelStatusRequest(model_spec=spec), STATUS)[2]
    found = messages.GetModelStatusResponse.FromString(body).model_version_status
    assert [(one.version, one.state, one.status.error_code) for one in found] == versions


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "nowhere"}, "there is no model 'nowhere'"),
        ({"name": "nowhere", "version": {"value": 0}}, "there is no model 'nowhere'"),
        ({**H, "version": {"value": 9}}, "there is no version 9 of the model 'half'; there are: 1, 3"),
    ],
)
def test_states_of_what_is_not_there(channel: grpc.Channel, spec: dict[str, Any], text: str) -> None:
    code, details, _ = call(channel, messages.GetModelStatusRequest(model_spec=spec), STATUS)
    assert (code, details) == (StatusCode.NOT_FOUND, text)


@pytest.mark.parametrize(
    "path", ["PredictionService/PredictStreamed", "ModelService/HandleReloadConfigRequest", "SessionService/SessionRun"]
)
def test_what_is_not_offered_says_so(channel: grpc.Channel, path: str) -> None:
    code, details, _ = call(channel, b"", f"/tensorflow.serving.{path}")
    assert (code, ": " in details) == (StatusCode.UNIMPLEMENTED, True)


def test_its_requests_have_a_protocol_of_their_own_in_metrics(channel: grpc.Channel, http: httpx.Client) -> None:
    predicted(channel, half(2))
    assert 'code="OK",model="half",protocol="tf-grpc",version="3"}' in http.get("/metrics").text
