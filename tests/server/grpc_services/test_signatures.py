"""What signatures say beside names, dtypes and ranks: parameters, labels, optional inputs, names of dimensions."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from grpc_calls import Serve, answer, call, infer
from knowing_runtime import Asked
from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.grpc.messages.tensorflow_serving import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from mlbuffet.server.protocols.tensorflow_serving.grpc_tensors import tensor_of

X = {"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [2]}}


class Labelled:
    """Two classes for each row of ``x``, plus ``shift``, which is 0 unless it is given."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".labelled"

    @hookimpl
    def load(self, path: Path) -> object:
        return path

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x = TensorSpec("x", np.float32, ("batch", "time"), description="what is added up")
        shift = TensorSpec("shift", np.float32, ("batch",), optional=True)
        scores = TensorSpec("scores", np.float32, ("batch", 2), labels=("setosa", "versicolor"))
        return Signatures({"serving_default": Signature([x, shift], [scores])})

    @hookimpl
    def predict(self, model: object, inputs: Tensors) -> Tensors:
        sums = inputs["x"].sum(axis=1) + inputs.get("shift", np.float32(0))
        return {"scores": np.stack([-sums, sums], axis=1)}


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, serve_grpc: Serve, asked: Asked) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.asked").touch()
    (folder / "labelled.labelled").touch()
    runtimes = Runtimes()
    runtimes.register(asked, name="asked")
    runtimes.register(Labelled(), name="labelled")
    with serve_grpc(folder, runtimes=runtimes) as (address, _):
        yield address


@pytest.fixture
def channel(place: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(place) as channel:
        yield channel


@pytest.fixture
def triton(place: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(place) as client:
        yield client


def test_a_declared_parameter_reaches_the_model(channel: grpc.Channel, asked: Asked) -> None:
    response = answer(channel, infer("m", inputs=[X], parameters={"offset": {"double_param": 0.5}}))
    assert list(response.outputs[0].contents.fp32_contents) == [1.5]
    assert asked.requests[-1].parameters == {"offset": 0.5}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("odd", {"double_param": 0.5}, "there is no parameter 'odd'; the model takes"),
        ("offset", {"double_param": -1}, "parameter 'offset' is -1.0; the model takes a float from 0"),
        ("offset", {"string_param": "1"}, "parameter 'offset' is '1'; the model takes a float from 0"),
    ],
)
def test_other_parameters_and_values_are_refused(
    channel: grpc.Channel, name: str, value: dict[str, object], message: str
) -> None:
    code, details, _ = call(channel, infer("m", inputs=[X], parameters={name: value}))
    assert (code, message in details) == (StatusCode.INVALID_ARGUMENT, True), details


def test_classes_have_their_labels(triton: InferenceServerClient) -> None:
    tensor = InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
    result = triton.infer("labelled", [tensor], outputs=[InferRequestedOutput("scores", class_count=1)])
    assert result.as_numpy("scores").tolist() == [[b"2.000000:1:versicolor"]]


def test_metadata_and_configuration_say_what_their_messages_can(triton: InferenceServerClient) -> None:
    metadata = triton.get_model_metadata("labelled")
    assert [(one.name, list(one.shape)) for one in metadata.inputs] == [("x", [-1, -1]), ("shift", [-1])]
    config = triton.get_model_config("labelled").config
    assert [one.optional for one in config.input] == [False, True]


def test_tensorflow_servings_metadata_names_dimensions(channel: grpc.Channel) -> None:
    request = GetModelMetadataRequest(model_spec={"name": "labelled"}, metadata_field=["signature_def"])
    code, details, body = call(channel, request, "/tensorflow.serving.PredictionService/GetModelMetadata")
    assert code is StatusCode.OK, details
    signatures = SignatureDefMap.FromString(GetModelMetadataResponse.FromString(body).metadata["signature_def"].value)
    shape = signatures.signature_def["serving_default"].outputs["scores"].tensor_shape
    assert [(one.size, one.name) for one in shape.dim] == [(-1, "batch"), (2, "")]


def test_an_optional_input_may_be_left_out_of_tensorflow_servings_requests(channel: grpc.Channel) -> None:
    tensor = tensor_of(np.ones((1, 2), np.float32), "x")
    request = PredictRequest(model_spec={"name": "labelled"}, inputs={"x": tensor})
    code, details, body = call(channel, request, "/tensorflow.serving.PredictionService/Predict")
    assert code is StatusCode.OK, details
    assert list(PredictResponse.FromString(body).outputs["scores"].float_val) == [-2, 2]
