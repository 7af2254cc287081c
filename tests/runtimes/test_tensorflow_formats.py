"""Every way of saving a model, in Python and over HTTP, against what the function said before it was saved."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

import mlbuffet
from mlbuffet import InvalidInput, Runtimes
from mlbuffet.server.protocols.open_inference.datatypes import DTYPES, datatype_of
from mlbuffet_tensorflow.plugin import TensorFlowRuntime
from saved_models import MAKERS, ROWS, Arrays, Case, save_all, traced

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HALF = (DTYPES["FP16"], DTYPES["BF16"])


@pytest.fixture(scope="module")
def runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return runtimes


@pytest.fixture(scope="module")
def root(shared_folder: Path) -> Path:
    return shared_folder / "saved_models"


@pytest.fixture(scope="module")
def cases(root: Path) -> dict[str, Case]:
    return save_all(root)


@pytest.fixture(scope="module")
def client(
    cases: dict[str, Case],
    root: Path,
    runtimes: Runtimes,
    serve: Callable[..., AbstractContextManager[httpx.Client]],
) -> Iterator[httpx.Client]:
    with serve(root, runtimes=runtimes) as client:
        yield client


def check(came: Arrays, expected: Arrays) -> None:
    assert sorted(came) == sorted(expected)
    for name, array in expected.items():
        assert (came[name].dtype, came[name].shape) == (array.dtype, array.shape), name
        if array.dtype.kind in "fc" or array.dtype in HALF:
            np.testing.assert_allclose(came[name].astype(complex), array.astype(complex), rtol=1e-5, atol=1e-5)
        else:
            assert came[name].tolist() == array.tolist()


def raw(array: NDArray[Any]) -> bytes:
    if array.dtype.hasobject:
        return b"".join(len(item).to_bytes(4, "little") + item for item in array.ravel())
    return array.tobytes()


def unraw(content: bytes, datatype: str, shape: list[int]) -> NDArray[Any]:
    if datatype != "BYTES":
        return np.frombuffer(content, DTYPES[datatype]).reshape(shape)
    items, start = [], 0
    while start < len(content):
        end = start + 4 + int.from_bytes(content[start : start + 4], "little")
        items.append(content[start + 4 : end])
        start = end
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def infer(client: httpx.Client, model: str, case: Case) -> Arrays:
    """The outputs, by the binary extension of the Open Inference Protocol, which loses no bit."""
    parts = [raw(array) for array in case.inputs.values()]
    header: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "shape": array.shape,
                "datatype": datatype_of(array.dtype),
                "parameters": {"binary_data_size": len(part)},
            }
            for (name, array), part in zip(case.inputs.items(), parts, strict=True)
        ],
        "parameters": {"binary_data_output": True}
        | ({"signature_name": case.signature} if case.signature is not None else {}),
    }
    text = orjson.dumps(header)
    length = {"Inference-Header-Content-Length": str(len(text))}
    response = client.post(f"/v2/models/{model}/infer", content=text + b"".join(parts), headers=length)
    assert response.status_code == 200, response.text
    end = int(response.headers["Inference-Header-Content-Length"])
    outputs = {}
    for output in orjson.loads(response.content[:end])["outputs"]:
        start, end = end, end + output["parameters"]["binary_data_size"]
        outputs[output["name"]] = unraw(response.content[start:end], output["datatype"], output["shape"])
    return outputs


@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_answers_in_python_as_it_did_before(
    cases: dict[str, Case], runtimes: Runtimes, name: str
) -> None:
    case = cases[name]
    with mlbuffet.load(case.path, runtimes=runtimes) as model:
        assert model.signatures.default == case.default
        assert case.reason in model.signatures.default_reason
        declared = model.signatures[case.signature or case.default or ""]
        assert list(declared.inputs) == list(case.inputs)
        check(model.predict(case.inputs, signature=case.signature), case.outputs)


@pytest.mark.parametrize("name", [name for name in MAKERS if "complex" not in name])
def test_a_saved_model_answers_over_http_as_it_did_before(
    cases: dict[str, Case], client: httpx.Client, name: str
) -> None:
    check(infer(client, name, cases[name]), cases[name].outputs)


def test_a_model_without_a_default_says_so_over_http(client: httpx.Client, cases: dict[str, Case]) -> None:
    case = cases["functions-without-a-call"]
    body = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": case.inputs["x"].tolist()}]}
    response = client.post("/v2/models/functions-without-a-call/infer", json=body)
    assert response.status_code == 400
    assert "no default signature: the file has no signatures and several functions" in response.json()["error"]
    assert response.json()["error"].endswith("name one of: embed, score")


def test_the_trace_that_takes_least_besides_answers(runtimes: Runtimes, tmp_path: Path) -> None:
    with mlbuffet.load(traced(tmp_path / "m", ((ROWS,), {}), ((ROWS[0],), {})), runtimes=runtimes) as model:
        assert model.signatures["predict"].inputs["x"].shape is None
        assert [int(model.predict({"x": value})["rank"]) for value in (ROWS, ROWS[0])] == [2, 1]
        with pytest.raises(InvalidInput, match=r"x \(3,\); the function was saved for x: float32 \(2, 4\) or x: "):
            model.predict({"x": ROWS[0, :3]})


def test_the_dtype_of_the_inputs_chooses_the_trace(client: httpx.Client, cases: dict[str, Case]) -> None:
    url = "/v1/models/traced-for-two-dtypes:predict"
    rows = [[1, 2, 3, 4], [5, 6, 7, 8]]
    floats = [[float(value) for value in row] for row in rows]
    for values, shown in ((rows, rows), (floats, floats), ([0.5, 1, 2, 3], [0.5, 1, 2, 3])):
        assert client.post(url, json={"inputs": values}).json()["outputs"]["y"] == shown
    refused = client.post(url, json={"inputs": [["a"]]})
    assert refused.status_code == 400
    assert refused.json()["error"].endswith("; or x: float32 any rank")
    tensor = {"name": "x", "shape": [2, 4], "data": [1, 2, 3, 4, 5, 6, 7, 8]}
    for datatype in ("INT32", "FP32"):
        body = {"inputs": [{**tensor, "datatype": datatype}]}
        outputs = client.post("/v2/models/traced-for-two-dtypes/infer", json=body).json()["outputs"]
        assert [output["datatype"] for output in outputs] == ["INT32", datatype]
    refused = client.post("/v2/models/traced-for-two-dtypes/infer", json={"inputs": [{**tensor, "datatype": "INT64"}]})
    assert refused.json()["error"].startswith("input 'x' has dtype int64; the model takes int32; ")
    assert refused.json()["error"].endswith("; or x: float32 any rank")


def test_copies_are_removed_with_the_model(
    cases: dict[str, Case], runtimes: Runtimes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("keras-file", "functions-with-a-call", "zip-of-a-folder", "zip-of-an-asset"):
        with mlbuffet.load(cases[name].path, runtimes=runtimes):
            assert len(list(tmp_path.glob("mlbuffet-*"))) == (name == "zip-of-an-asset")
        assert not list(tmp_path.iterdir())  # nor what TensorFlow has generated


@pytest.mark.parametrize("options", [{"device": "cpu"}, {"xla": True}, {"gpu_memory_growth": True}])
def test_options_do_not_change_the_answer(cases: dict[str, Case], runtimes: Runtimes, options: dict[str, Any]) -> None:
    case = cases["single-return"]
    with mlbuffet.load(case.path, runtimes=runtimes, options=options) as model:
        check(model.predict(case.inputs), case.outputs)
