"""TensorFlow Serving's own stubs against every kind of saved model: the same bits as in Python, and as over REST."""

# mypy: allow-untyped-calls, allow-untyped-decorators

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

import mlbuffet
from grpc_calls import Serve
from mlbuffet import Runtimes
from mlbuffet_tensorflow._tensorflow import tf
from onnx_linear import save_linear
from saved_models import MAKERS, Case, save_all

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def root(shared_folder: Path) -> Path:
    return shared_folder / "saved_models"


@pytest.fixture(scope="module")
def cases(root: Path) -> dict[str, Case]:
    return save_all(root)


@pytest.fixture(scope="module")
def both(
    cases: dict[str, Case], root: Path, installed: Runtimes, serve_grpc: Serve
) -> Iterator[tuple[str, httpx.Client]]:
    with serve_grpc(root, runtimes=installed) as found:
        yield found


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


Arrays = dict[str, NDArray[Any]]


def over_grpc(channel: grpc.Channel, name: str, case: Case) -> Arrays:
    request = PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = case.signature or ""
    for key, array in case.inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array, shape=array.shape))
    response = PredictionServiceStub(channel).Predict(request, timeout=60)
    return {key: tf.make_ndarray(tensor) for key, tensor in response.outputs.items()}


def over_rest(http: httpx.Client, name: str, case: Case, expected: Arrays) -> Arrays:
    """With the dtypes of ``expected``, which JSON does not tell."""
    inputs = {key: array.tolist() for key, array in case.inputs.items()}
    body = json.dumps({"signature_name": case.signature, "inputs": inputs}, default=in_base64)
    answer = http.post(f"/v1/models/{name}:predict", content=body, timeout=60)
    assert answer.status_code == 200, answer.text
    outputs = answer.json()["outputs"]
    named = outputs if len(expected) > 1 else dict.fromkeys(expected, outputs)
    return {key: of_json(named[key], array) for key, array in expected.items()}


def in_base64(text: bytes) -> dict[str, str]:
    return {"b64": b64encode(text).decode()}


def of_json(value: Any, like: NDArray[Any]) -> NDArray[Any]:
    array = np.array(value, like.dtype)
    if like.dtype == object:
        array = np.frompyfunc(lambda one: one.encode() if isinstance(one, str) else b64decode(one["b64"]), 1, 1)(array)
    return np.asarray(array, like.dtype)


def bits(arrays: Arrays) -> dict[str, tuple[tuple[int, ...], Any]]:
    return {key: (one.shape, one.tolist() if one.dtype == object else one.tobytes()) for key, one in arrays.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_gives_the_same_bits_as_in_python_and_over_rest(
    channel: grpc.Channel, http: httpx.Client, cases: dict[str, Case], name: str
) -> None:
    case = cases[name]
    with mlbuffet.load(case.path) as model:
        expected = dict(model.predict(case.inputs, signature=case.signature))
    assert bits(over_grpc(channel, name, case)) == bits(expected)
    if not name.startswith("type-complex"):  # of which JSON has no form
        assert bits(over_rest(http, name, case, expected)) == bits(expected)


def test_metadata_and_states(channel: grpc.Channel, cases: dict[str, Case]) -> None:
    asked = GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = name = next(iter(cases))
    packed = PredictionServiceStub(channel).GetModelMetadata(asked).metadata["signature_def"]
    signatures = SignatureDefMap()
    assert packed.Unpack(signatures)
    assert signatures.signature_def["serving_default"].method_name == "tensorflow/serving/predict"
    wanted = GetModelStatusRequest()
    wanted.model_spec.name = name
    (version,) = ModelServiceStub(channel).GetModelStatus(wanted).model_version_status
    assert (version.version, version.State.Name(version.state)) == (1, "AVAILABLE")


def test_an_onnx_model_answers_a_client_of_tensorflow_serving(
    tmp_path: Path, installed: Runtimes, serve_grpc: Serve
) -> None:
    save_linear(tmp_path / "linear.onnx")
    rows = np.array([[1, 2, 3], [0.1, 0, -1]], np.float32)
    request = PredictRequest()
    request.model_spec.name = "linear"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(rows))
    with serve_grpc(tmp_path, runtimes=installed) as (address, _), grpc.insecure_channel(address) as channel:
        response = PredictionServiceStub(channel).Predict(request, timeout=30)
    with mlbuffet.load(tmp_path / "linear.onnx") as model:
        expected = model.predict({"x": rows})["y"]
    assert tf.make_ndarray(response.outputs["y"]).tobytes() == expected.tobytes()
    assert list(response.outputs["y"].float_val) == expected.ravel().tolist()
