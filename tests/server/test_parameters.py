"""Parameters reach the model through every protocol that has them, with the request that brought them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from knowing_runtime import Asked
from mlbuffet import Request, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.server import ServerSettings
from pipelines import Pipeline
from small_runtimes import small_runtimes, write_models

Serve = Callable[..., AbstractContextManager[httpx.Client]]
X = {"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}
RESERVED = {
    "binary_data_output": False,
    "sequence_id": 7,
    "sequence_start": True,
    "sequence_end": False,
    "priority": 1,
    "timeout": 1000,
    "headers": {},
    "content_type": "np",
    "triton_enable_empty_final_response": True,
}
OFFSET = {"type": "float", "default": 2.0, "minimum": 0, "description": "What is added."}


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture(params=["fast path", "application", "remote service"])
def client(tmp_path: Path, asked: Asked, serve: Serve, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Of a server of the models ``m``, ``plain``, which has no parameters, and ``pipe``, which calls ``m``."""
    models = {"m/3/x.asked": "", "plain.half": "half", "pipe.pipe": "m"}
    models |= {"kept/x.asked": "", "kept/model.toml": "[cache]"}
    runtimes = small_runtimes()
    runtimes.register(asked, name="asked")
    runtimes.register(Pipeline(), name="pipeline")
    settings = ServerSettings(request_timeout=30)
    with serve(write_models(tmp_path, models), settings, runtimes, way=request.param) as client:
        yield client


def infer(client: httpx.Client, model: str = "m", **members: Any) -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", json={"inputs": [X], **members}, headers={"X-Request-Id": "mine"})


def y_of(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    (y,) = [output["data"] for output in answer.json()["outputs"] if output["name"] == "y"]
    return list(y)


@pytest.mark.parametrize("token", ["NaN", "-Infinity"])
def test_a_parameter_that_is_no_finite_number_is_named(client: httpx.Client, token: str) -> None:
    body = json.dumps({"inputs": [{**X, "data": [float("nan")]}], "parameters": {"offset": float(token)}})
    answer = client.post("/v2/models/m/infer", content=body)
    assert answer.status_code == 400
    assert f"'offset' is {token}; only the elements of tensors" in answer.json()["error"]


def test_a_parameter_travels_under_v2_in_every_call(client: httpx.Client, asked: Asked) -> None:
    for _ in range(20):  # the first in threads, the later ones where that is quicker
        assert y_of(infer(client)) == [3]
        assert y_of(infer(client, parameters={"offset": 4})) == [5]
        assert y_of(infer(client, parameters={"offset": None})) == [3]
        assert y_of(infer(client, parameters={"offset": 5, **RESERVED})) == [6]
    assert {request.parameters["offset"] for request in asked.requests} == {2.0, 4.0, 5.0}
    assert {(request.model, request.version, request.ids) for request in asked.requests} == {("m", 3, ("mine",))}


@pytest.mark.parametrize("model", ["m", "plain", "kept"])
def test_an_undeclared_parameter_is_400_and_those_of_the_protocol_are_not(client: httpx.Client, model: str) -> None:
    for _ in range(5):
        answer = infer(client, model, parameters={"top": 1})
        assert answer.status_code == 400
        takes = "no parameters" if model == "plain" else "offset: a float from 0"
        assert answer.json() == {"error": f"there is no parameter 'top'; the model takes {takes}"}
        assert infer(client, model, parameters=RESERVED).status_code == 200


@pytest.mark.parametrize("value", [-1, "2", True, [1]])
def test_a_wrong_value_is_400(client: httpx.Client, value: object) -> None:
    answer = infer(client, parameters={"offset": value})
    assert (answer.status_code, "the model takes a float from 0" in answer.text) == (400, True)


def test_the_wanted_outputs_and_the_deadline_are_told(client: httpx.Client, asked: Asked) -> None:
    answer = infer(client, outputs=[{"name": "z"}])
    assert [output["name"] for output in answer.json()["outputs"]] == ["z"]
    (request,) = asked.requests
    assert list(request.outputs) == ["z"]
    assert request.seconds_left is not None
    assert 20 < request.seconds_left <= 30


def test_answers_with_other_parameters_are_kept_apart(client: httpx.Client, asked: Asked) -> None:
    for _ in range(3):
        assert y_of(infer(client, "kept")) == y_of(infer(client, "kept", parameters={"offset": 2})) == [3]
        assert y_of(infer(client, "kept", parameters={"offset": 4})) == [5]
    assert len(asked.requests) == 2


def test_a_parameter_travels_under_api(client: httpx.Client) -> None:
    address = "/api/v1/models/m/prediction"
    for parameters, y in ({}, 3), ({"offset": 4}, 5), (None, 3), ({"offset": None}, 3):
        answer = client.post(address, json={"values": [2], "parameters": parameters})
        assert answer.json()["values"] == {"y": [y], "z": [4]}
    assert client.post(address, json={"values": [2], "parameters": {"top": 1}}).status_code == 400
    assert client.post(address, json={"values": [2], "parameters": [1]}).status_code == 400


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_parameter_travels_under_v1(client: httpx.Client, form: str) -> None:
    address = "/v1/models/m:predict"
    for parameters, y in ({}, 3), ({"offset": 4}, 5), (None, 3), ({"offset": None}, 3):
        answer = client.post(address, json={form: [2], "parameters": parameters}).json()
        assert answer == (
            {"predictions": [{"y": y, "z": 4}]} if form == "instances" else {"outputs": {"y": [y], "z": [4]}}
        )
    for wrong in ({"offset": -1}, {"lost": 1}, [1], 4, "4"):
        answer = client.post(address, json={form: [2], "parameters": wrong})
        assert (answer.status_code, "parameter" in answer.text) == (400, True)
    twice = f'{{"{form}": [2], "parameters": {{"offset": 1, "offset": 4}}}}'
    assert "the name 'offset' is given twice" in client.post(address, content=twice).json()["error"]


def test_under_v1_a_model_without_parameters_knows_none(client: httpx.Client) -> None:
    answer = client.post("/v1/models/plain:predict", json={"instances": [2], "parameters": {"offset": 4}})
    assert answer.status_code == 200


def test_metadata_shows_parameters(client: httpx.Client) -> None:
    properties = client.get("/v2/models/m").json()["properties"]
    assert json.loads(properties["parameters"]) == {"offset": OFFSET}
    assert json.loads(properties["signatures"])["serving_default"]["parameters"] == {"offset": OFFSET}
    assert "parameters" not in client.get("/v2/models/plain").json()["properties"]
    assert "parameters" in client.get("/v2").json()["extensions"]


def test_a_request_is_that_of_the_model_that_another_calls(client: httpx.Client, asked: Asked) -> None:
    for _ in range(5):
        assert y_of(infer(client, "pipe")) == [3]
    assert {(request.model, request.ids) for request in asked.requests} == {("m", ("mine",))}


def test_the_information_of_a_model_shows_its_parameters(tmp_path: Path, serve: Serve) -> None:
    runtimes = small_runtimes()
    runtimes.register(Asked(), name="asked")
    with serve(write_models(tmp_path, {"m/1/x.asked": "", "plain.half": "half"}), runtimes=runtimes) as client:
        (version,) = client.get("/api/v1/models/m/information").json()["tag_list_versions"].values()
        assert version["signatures"]["serving_default"]["parameters"] == {"offset": OFFSET}
        (version,) = client.get("/api/v1/models/plain/information").json()["tag_list_versions"].values()
        assert "parameters" not in version["signatures"]["serving_default"]


def test_an_image_in_a_form_may_come_with_parameters(tmp_path: Path, serve: Serve) -> None:
    class Brighter(Asked):
        @hookimpl
        def signature(self, model: object) -> Signatures:
            gray, y = TensorSpec("x", np.float32, (None, 2, 2, 1)), TensorSpec("y", np.float32, (None,))
            parameters = super().signature(model)["serving_default"].parameters
            return Signatures({"serving_default": Signature([gray], [y], parameters=parameters)})

        @hookimpl
        def predict(self, model: object, signature: str, inputs: Tensors, request: Request) -> Tensors:
            return {"y": inputs["x"].mean(axis=(1, 2, 3)) + np.float32(request.parameters["offset"])}

    runtimes = small_runtimes()
    runtimes.register(Brighter(), name="brighter")
    file = BytesIO()
    Image.new("L", (2, 2), 10).save(file, "PNG")
    with serve(write_models(tmp_path, {"m.asked": ""}), runtimes=runtimes) as client:
        address, image = "/api/v1/models/m/prediction", {"path": ("x.png", file.getvalue())}
        assert client.post(address, files=image).json()["values"] == [12]
        assert client.post(address, files=image, data={"parameters": '{"offset": 5}'}).json()["values"] == [15]
        assert client.post(address, files=image, data={"parameters": "offset"}).status_code == 400


def test_triton_s_client_sends_parameters_beside_those_of_its_own(tmp_path: Path, serve: Serve) -> None:
    runtimes = small_runtimes()
    runtimes.register(Asked(), name="asked")
    x = InferInput("x", [1], "FP32")
    x.set_data_from_numpy(np.array([2], np.float32))
    own = {"sequence_id": 7, "sequence_start": True, "priority": 1, "timeout": 1_000_000}
    with (
        serve(write_models(tmp_path, {"m.asked": ""}), runtimes=runtimes) as client,
        InferenceServerClient(str(client.base_url).removeprefix("http://").rstrip("/")) as triton,
    ):
        assert triton.infer("m", [x], **own).as_numpy("y").tolist() == [3]
        assert triton.infer("m", [x], parameters={"offset": 4}, **own).as_numpy("y").tolist() == [5]
        with pytest.raises(InferenceServerException, match="there is no parameter 'top'"):
            triton.infer("m", [x], parameters={"top": 4}, **own)
