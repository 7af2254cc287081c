"""Names of dimensions, optional inputs, labels and descriptions, in every protocol."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl

UNEQUAL = "input 'mask' has 2 for the dimension 'time', and input 'x' has 3; the model takes tensors in which they are"
CLASSES = ("setosa", "versicolor")


class Pooled:
    """The sum of each row of ``x`` where ``mask`` is 1, minus and plus ``shift``, which is 0 unless it is given.

    A file that says ``lie`` makes it give another shape than it declares.
    """

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".pooled"

    @hookimpl
    def load(self, path: Path) -> str:
        return path.read_text()

    @hookimpl
    def signature(self, model: str) -> Signatures:
        x = TensorSpec("x", np.float32, ("batch", "time"), description="what is added up")
        mask = TensorSpec("mask", np.float32, ("batch", "time"))
        shift = TensorSpec("shift", np.float32, ("batch",), optional=True)
        scores = TensorSpec("scores", np.float32, ("batch", 2), labels=CLASSES)
        alone = Signature([x, shift], [scores])
        return Signatures({"serving_default": Signature([x, mask, shift], [scores], description="Sums"), "all": alone})

    @hookimpl
    def predict(self, model: str, inputs: Tensors) -> Tensors:
        sums = (inputs["x"] * inputs.get("mask", 1)).sum(axis=1)
        shift = inputs.get("shift", np.float32(0))
        scores = np.stack([sums - shift, sums + shift], axis=1).astype(np.float32)
        return {"scores": scores[:, :, None] if model == "lie" else scores}


Answer = Callable[[dict[str, list[Any]]], httpx.Response]


@pytest.fixture(scope="module", params=["fast path", "application", "remote service"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., AbstractContextManager[httpx.Client]], tmp_path_factory: pytest.TempPathFactory, way: str
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "m.pooled").touch()
    (folder / "liar.pooled").write_text("lie")
    (folder / "alone").mkdir()
    (folder / "alone/m.pooled").touch()
    (folder / "alone/model.toml").write_text("signature = 'all'")
    runtimes = Runtimes()
    runtimes.register(Pooled, name="pooled")
    with serve(folder, runtimes=runtimes, way=way) as client:
        yield client


def tensors(inputs: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": np.shape(value), "datatype": "FP32", "data": value} for name, value in inputs.items()
    ]


def binary(client: httpx.Client, inputs: dict[str, list[Any]]) -> httpx.Response:
    arrays = {name: np.array(value, np.float32) for name, value in inputs.items()}
    described = [
        {"name": name, "shape": array.shape, "datatype": "FP32", "parameters": {"binary_data_size": array.nbytes}}
        for name, array in arrays.items()
    ]
    header = json.dumps({"inputs": described}).encode()
    return client.post(
        "/v2/models/m/infer",
        content=header + b"".join(array.tobytes() for array in arrays.values()),
        headers={"Inference-Header-Content-Length": str(len(header))},
    )


ASK: dict[str, Callable[[httpx.Client, dict[str, list[Any]]], httpx.Response]] = {
    "v2": lambda client, inputs: client.post("/v2/models/m/infer", json={"inputs": tensors(inputs)}),
    "v2 binary": binary,
    "v1 columns": lambda client, inputs: client.post("/v1/models/m:predict", json={"inputs": inputs}),
    "v1 rows": lambda client, inputs: client.post(
        "/v1/models/m:predict",
        json={"instances": [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]},
    ),
    "api": lambda client, inputs: client.post("/api/v1/models/m/prediction", json={"values": inputs}),
}
X, MASK = [[1, 2, 3], [4, 5, 6]], [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("protocol", ASK)
def test_dimensions_of_one_name_that_differ_are_the_callers_fault(client: httpx.Client, protocol: str) -> None:
    for _ in range(3):  # the third comes after the request was remembered
        answer = ASK[protocol](client, {"x": X, "mask": [[1, 0], [0, 1]]})
        assert (answer.status_code, UNEQUAL in answer.json()["error"]) == (400, True)
        assert ASK[protocol](client, {"x": X, "mask": MASK}).status_code == 200


@pytest.mark.parametrize("protocol", ASK)
def test_an_optional_input_is_given_or_left_out(client: httpx.Client, protocol: str) -> None:
    without = ASK[protocol](client, {"x": X, "mask": MASK})
    given = ASK[protocol](client, {"x": X, "mask": MASK, "shift": [1, 2]})
    assert [scores(without), scores(given)] == [[[4, 4], [5, 5]], [[3, 5], [3, 7]]]
    refused = ASK[protocol](client, {"x": X, "shift": [1, 2]})
    assert (refused.status_code, "'mask'" in refused.json()["error"]) == (400, True)


def scores(answer: httpx.Response) -> Any:
    body = answer.json()
    if "outputs" in body and isinstance(body["outputs"][0], dict):
        return np.reshape(body["outputs"][0]["data"], body["outputs"][0]["shape"]).tolist()
    return body.get("predictions") or body.get("values") or body["outputs"]


def test_an_optional_input_is_in_all_rows_or_in_none(client: httpx.Client) -> None:
    rows = [{"x": X[0], "mask": MASK[0], "shift": 1}, {"x": X[1], "mask": MASK[1]}]
    answer = client.post("/v1/models/m:predict", json={"instances": rows})
    assert answer.status_code == 400
    assert "input 'shift' is in some rows of 'instances' only" in answer.json()["error"]


def test_values_without_a_name_are_those_of_the_input_that_must_be_there(client: httpx.Client) -> None:
    sums = [[6, 6], [15, 15]]
    assert client.post("/v1/models/alone:predict", json={"instances": X}).json() == {"predictions": sums}
    assert client.post("/v1/models/alone:predict", json={"inputs": X}).json() == {"outputs": sums}
    assert client.post("/api/v1/models/alone/prediction", json={"values": X}).json()["values"] == sums
    refused = client.post("/v1/models/m:predict", json={"instances": X})
    assert "the model takes x: float32 (batch, time), mask: float32 (batch, time), shift" in refused.json()["error"]


def test_outputs_that_are_not_as_declared_are_the_models_fault(client: httpx.Client) -> None:
    answer = client.post("/v2/models/liar/infer", json={"inputs": tensors({"x": X, "mask": MASK})})
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("the model failed to compute signature 'serving_default'")


@pytest.mark.parametrize(("wanted", "texts"), [(1, ["2.000000:1:versicolor"]), (2, ["2.000000:1:versicolor", ""])])
def test_classes_have_their_labels(client: httpx.Client, wanted: int, texts: list[str]) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": wanted}}]
    body = {"inputs": tensors({"x": [[1]], "mask": [[1]], "shift": [1]}), "outputs": outputs}
    texts = [text or "0.000000:0:setosa" for text in texts]
    for _ in range(3):
        assert client.post("/v2/models/m/infer", json=body).json()["outputs"][0]["data"] == texts


def test_the_metadata_of_v2_has_what_the_protocol_lacks_in_parameters(client: httpx.Client) -> None:
    shown = client.get("/v2/models/m").json()
    x, mask, shift = shown["inputs"]
    named = {"name": "mask", "datatype": "FP32", "shape": [-1, -1], "parameters": {"dimensions": '["batch","time"]'}}
    assert mask == named
    assert x["parameters"] == {**mask["parameters"], "description": "what is added up"}
    assert shift["parameters"] == {"dimensions": '["batch"]', "optional": True}
    (output,) = shown["outputs"]
    assert output["shape"] == [-1, 2]
    assert output["parameters"] == {"dimensions": '["batch",2]', "labels": '["setosa","versicolor"]'}
    assert shown["properties"]["description"] == "Sums"
    signatures = json.loads(shown["properties"]["signatures"])
    assert signatures["serving_default"]["inputs"] == [x, mask, shift]
    assert (signatures["serving_default"]["description"], "description" in signatures["all"]) == ("Sums", False)
    config = client.get("/v2/models/m/config").json()
    assert [tensor.get("optional") for tensor in config["input"]] == [None, None, True]


def test_the_metadata_of_v1_names_dimensions(client: httpx.Client) -> None:
    shown = client.get("/v1/models/m/metadata").json()["metadata"]["signature_def"]["signature_def"]
    dimensions = shown["serving_default"]["outputs"]["scores"]["tensor_shape"]["dim"]
    assert dimensions == [{"size": "-1", "name": "batch"}, {"size": "2", "name": ""}]


def test_the_information_of_api_has_the_signatures(client: httpx.Client, way: str) -> None:
    answer = client.get("/api/v1/models/m/information")
    if way == "remote service":
        assert answer.status_code == 409
        return
    shown = answer.json()["tag_list_versions"]["1"]["signatures"]["serving_default"]
    shift = {"name": "shift", "dtype": "float32", "shape": ["batch"], "optional": True}
    assert (shown["method"], shown["description"], shown["inputs"][2]) == ("predict", "Sums", shift)
    assert shown["outputs"][0] == {
        "name": "scores",
        "dtype": "float32",
        "shape": ["batch", 2],
        "labels": ["setosa", "versicolor"],
    }
