"""Models of real frameworks are uploaded, answer as they did before they were saved, and come back whole."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime_extensions import get_library_path

from mlbuffet import Runtimes
from uploading import RunApp, Uploading, uploading, zipped

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS = [[1.0, 2.0], [3.0, 4.0]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, run_app: RunApp) -> Iterator[Uploading]:
    """A server with all runtimes that are installed."""
    runtimes = Runtimes()
    runtimes.discover()
    with uploading(tmp_path_factory.mktemp("frameworks") / "models", run_app, runtimes=runtimes) as served:
        yield served


def predicted(served: Uploading, name: str) -> np.ndarray:
    answer = served.client.post(f"/api/v1/models/{name}/prediction", json={"values": ROWS}, timeout=60)
    return np.array(answer.json()["values"])


def files_in(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/")}


def linear(weights: TensorProto) -> bytes:
    """An ONNX model that multiplies by ``weights``."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_a_saved_model_is_uploaded_as_a_zip_of_its_folder(served: Uploading, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.export(tmp_path / "mine", verbose=False)
    files = {
        path.relative_to(tmp_path / "mine").as_posix(): path.read_bytes()
        for path in (tmp_path / "mine").rglob("*")
        if path.is_file()
    }
    answer = served.push("digits", ("mine.zip", zipped({f"mine/{name}": files[name] for name in files})))
    assert answer.status_code == 201, answer.text
    assert np.allclose(predicted(served, "digits"), model(np.array(ROWS, np.float32)).numpy(), atol=1e-5)
    assert served.versions("digits")["1"]["ml_library"] == "tensorflow"
    assert files_in(served.client.get("/api/v1/models/digits/download").content) == files


def test_a_keras_model_with_code_in_it_is_refused(served: Uploading, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "mine.keras")
    answer = served.push("code", ("mine.keras", (tmp_path / "mine.keras").read_bytes()))
    assert answer.status_code == 422, answer.text
    assert served.client.get("/api/v1/models/code/information").status_code == 404


def test_an_onnx_model_is_uploaded_with_and_without_its_weights_beside_it(served: Uploading) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    within = numpy_helper.from_array(weights, "w")
    beside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", "offset": "0", "length": str(weights.nbytes)}.items():
        beside.external_data.add(key=key, value=value)
    for number, file in enumerate(
        [
            ("x.onnx", linear(within)),
            ("x.zip", zipped({"x.onnx": linear(beside), "weights.bin": weights.tobytes()})),
        ]
    ):
        answer = served.push("linear", file)
        assert (answer.status_code, answer.json().get("version")) == (201, number + 1), answer.text
        assert np.array_equal(predicted(served, "linear"), np.array(ROWS) @ weights)
    assert onnx.load_from_string(served.client.get("/api/v1/models/linear:1/download").content).graph.name == "g"


def operator_of(library: str) -> bytes:
    """An ONNX model with an operator of a library."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.STRING, [None]) for name in "xy")
    graph = helper.make_graph([helper.make_node("StringUpper", ["x"], ["y"], domain=library)], "g", [x], [y])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(library, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


UPPER = operator_of("ai.onnx.contrib")
OPTIONS = b'runtime = "onnx"\n[options]\ncustom_op_libraries = ["own.so"]\n'


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": UPPER, "model.toml": OPTIONS, "own.so": b""},
        {"it/model.onnx": UPPER, "it/model.toml": OPTIONS, "it/own.so": b""},
        {"1/model.onnx": UPPER, "model.toml": OPTIONS, "1/own.so": b""},
        {"upper/1/model.onnx": UPPER, "upper/model.toml": OPTIONS, "upper/1/own.so": b""},
    ],
    ids=["beside", "in a folder", "of versions", "of a model"],
)
def test_an_upload_gives_no_options(served: Uploading, files: dict[str, bytes]) -> None:
    library = Path(get_library_path()).read_bytes()
    archive = zipped({name: content or library for name, content in files.items()})
    answer = served.push("upper", ("m.zip", archive), options='{"custom_op_libraries": ["own.so"]}')
    assert (answer.status_code, "upload may not set 'custom_op_libraries'" in answer.text) == (422, True), answer.text
    answer = served.push("upper", ("m.zip", archive))
    assert (answer.status_code, "custom_op_libraries[" in answer.text) == (422, False), answer.text
    assert served.client.get("/api/v1/models/upper/information").status_code == 404
    body = {"parameters": {"config": '{"options": {"custom_op_libraries": ["own.so"]}}'}}
    assert served.client.post("/v2/repository/models/upper/load", json=body).status_code == 400


@pytest.mark.parametrize(
    ("name", "named", "allowed", "status"),
    [
        ("within", "lib/own.so", False, 201),
        ("above", "../own.so", False, 422),
        ("elsewhere", get_library_path(), False, 422),
        ("allowed", get_library_path(), True, 201),
    ],
)
def test_an_upload_is_tried_with_the_options_of_its_model(
    served: Uploading, monkeypatch: pytest.MonkeyPatch, name: str, named: str, status: int, *, allowed: bool
) -> None:
    folder = served.root / name
    folder.mkdir()
    (folder / "model.toml").write_text(f'[options]\ncustom_op_libraries = ["{named}"]')
    if allowed:
        monkeypatch.setenv("MLBUFFET_ONNX_LIBRARIES", get_library_path())
    files = {"model.onnx": UPPER, "lib/own.so": Path(get_library_path()).read_bytes()}
    answer = served.push(name, ("m.zip", zipped(files)))
    assert answer.status_code == status, answer.text
    if status == 201:
        body = {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["abc"]}]}
        assert served.client.post(f"/v2/models/{name}/infer", json=body).json()["outputs"][0]["data"] == ["ABC"]
    else:
        assert "lies outside of the model's folder" in answer.text
        assert str(served.root) not in answer.text
        assert named not in answer.text
