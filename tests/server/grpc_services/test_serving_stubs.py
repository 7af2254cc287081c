"""TensorFlow Serving's own stubs against every kind of saved model: the same bits as in Python."""

# mypy: allow-untyped-calls, allow-untyped-decorators

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
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
from saved_models import MAKERS, Case

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def cases(root: Path) -> dict[str, Case]:
    """All of them, saved as a repository of models."""
    made = {}
    for name, make in MAKERS.items():
        (root / name).mkdir()
        made[name] = make(root / name / "1")
    return made


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


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_gives_the_same_bits_as_in_python(
    channel: grpc.Channel, cases: dict[str, Case], name: str
) -> None:
    case = cases[name]
    request = PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = case.signature or ""
    for key, array in case.inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array, shape=array.shape))
    response = PredictionServiceStub(channel).Predict(request, timeout=60)
    with mlbuffet.load(case.path) as model:
        expected = model.predict(case.inputs, signature=case.signature)
    assert response.outputs.keys() == expected.keys()
    for key, array in expected.items():
        answer = tf.make_ndarray(response.outputs[key])
        assert answer.shape == array.shape
        assert answer.tolist() == array.tolist() if array.dtype == object else answer.tobytes() == array.tobytes(), key


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
