"""Every dtype that a runtime may declare is answered, or refused with a sentence, by every protocol."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidInput, Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.conversion import SMALL_DTYPES, has_json_form, kind_of
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES
from small_runtimes import write_models

LONG = [np.dtype(np.longdouble), np.dtype(np.clongdouble)]
DTYPES = [*SMALL_DTYPES, *LONG, *map(np.dtype, ("float16", "float64", "int64", "bool", "complex64", "complex128"))]
NAMES = [dtype.name for dtype in DTYPES]
DTYPE = dict(zip(NAMES, DTYPES, strict=True))


class Same:
    """Gives back its input ``x`` as ``y``, and beside it ``one``, a float32; the file names the dtype."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".same"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> np.dtype[Any]:
        return DTYPE[path.read_text()]

    @hookimpl
    def signature(self, model: np.dtype[Any]) -> Signatures:
        x, y, one = TensorSpec("x", model, (None,)), TensorSpec("y", model, (None,)), TensorSpec("one", np.float32, ())
        made, none = Signature([], [y]), Signature([], [y, one])
        return Signatures({"serving_default": Signature([x], [y, one]), "made": made, "both": none})

    @hookimpl
    def predict(self, model: np.dtype[Any], signature: str, inputs: Tensors) -> Tensors:
        y = inputs.get("x", np.ones(2, model))
        return {"y": y} if signature == "made" else {"y": y, "one": np.array(1, np.float32)}


@pytest.fixture(scope="module")
def same() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(Same, name="same")
    return runtimes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = {f"{name}/model.toml": "[cache]\nseconds = 60\n" for name in ("float128", "int4") if name in NAMES}
    return write_models(tmp_path_factory.mktemp("models"), {**{f"{name}/{name}.same": name for name in NAMES}, **kept})


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., AbstractContextManager[httpx.Client]], models: Path, same: Runtimes
) -> Iterator[httpx.Client]:
    with serve(models, runtimes=same) as client:
        yield client


def refused(answer: httpx.Response, name: str) -> bool:
    """Whether an answer says in a sentence that it cannot be; it must be 400 then."""
    if answer.status_code == 200:
        return False
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert name.lower() in error.lower() or DATATYPES.get(DTYPE[name], name) in error
    return True


@pytest.mark.parametrize("name", NAMES)
def test_v2_takes_what_its_metadata_names_or_says_that_it_does_not(client: httpx.Client, name: str) -> None:
    metadata = client.get(f"/v2/models/{name}").json()
    config = client.get(f"/v2/models/{name}/config").json()["input"][0]["data_type"]
    datatype = metadata["inputs"][0]["datatype"]
    in_json = {"name": "x", "shape": [2], "datatype": datatype, "data": [True, True] if name == "bool" else [1, 1]}
    raw = np.ones(2, DTYPE[name]).tobytes()
    tensor = {"name": "x", "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    answers = [
        client.post(f"/v2/models/{name}/infer", json={"inputs": [in_json]}),
        client.post(f"/v2/models/{name}/infer", content=header + raw, headers=length),
    ]
    if DTYPE[name] in DATATYPES:
        assert "unsupported" not in metadata["properties"]
        assert config == f"TYPE_{datatype}"
        assert [answer.status_code for answer in answers] == [400 if datatype in BINARY_ONLY else 200, 200]
        begin = int(answers[1].headers["inference-header-content-length"])
        assert answers[1].content[begin : begin + len(raw)] == raw
    else:
        assert f"input 'x' of signature 'serving_default' is {name}" in metadata["properties"]["unsupported"]
        assert config == "TYPE_INVALID"
        assert [refused(answer, datatype.lower()) for answer in answers] == [True, True]


@pytest.mark.parametrize("name", NAMES)
def test_an_output_of_any_dtype_leaves_the_others_what_they_are(client: httpx.Client, name: str) -> None:
    asked = {"inputs": [], "parameters": {"signature_name": "both"}}
    answer = client.post(f"/v2/models/{name}/infer", json=asked).json()
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert outputs["one"]["data"] == [1.0]
    assert ("y" in outputs) is not (name in answer.get("parameters", {}).get("omitted", ""))
    assert client.post(f"/v2/models/{name}/infer", json={**asked, "outputs": [{"name": "one"}]}).status_code == 200
    named = client.post(f"/v2/models/{name}/infer", json={**asked, "outputs": [{"name": "y"}]})
    assert refused(named, name) is (DATATYPES.get(DTYPE[name]) in (None, *BINARY_ONLY))


@pytest.mark.parametrize("name", NAMES)
def test_v1_and_the_own_api_answer_or_refuse_every_dtype(client: httpx.Client, name: str) -> None:
    ones = [True, True] if name == "bool" else [1, 1]
    answers = [
        client.post(f"/v1/models/{name}:predict", json={"inputs": ones}),
        client.post(f"/v1/models/{name}:predict", json={"signature_name": "made", "inputs": {}}),
        client.post(f"/api/v1/models/{name}/prediction", json={"values": ones}),
    ]
    assert [refused(answer, name) for answer in answers] == [not has_json_form(DTYPE[name])] * 3
    assert client.get(f"/v1/models/{name}/metadata").status_code == 200
    assert client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_in_python_every_dtype_is_answered(models: Path, same: Runtimes, name: str) -> None:
    with mlbuffet.load(models / name / f"{name}.same", runtimes=same) as model:
        ones = np.ones(2, DTYPE[name])
        assert model.predict({"x": ones})["y"].dtype == DTYPE[name]
        assert model.predict({"x": ones.tolist()})["y"].astype(np.complex64).tolist() == [1, 1]
        if kind_of(DTYPE[name]) != "c":
            with pytest.raises(InvalidInput, match=f"the model takes {name}"):
                model.predict({"x": np.ones(2, np.complex64)})
