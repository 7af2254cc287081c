"""The OpenVINO runtime answers what OpenVINO itself answers, to the last bit, and lets no call harm the next."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

openvino = pytest.importorskip("mlbuffet_openvino._openvino", reason="`make runtimes` installs it").openvino

from openvino import Model, PartialShape, Type
from openvino import opset15 as ops

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_openvino._requests import Requests
from mlbuffet_openvino.plugin import OpenVINORuntime

RANDOM = np.random.default_rng(0)
Inputs = dict[str, NDArray[Any]]
Made = tuple[Any, Inputs]


def floats(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(size=shape).astype(np.float32)


def network(*outputs: Any, **inputs: Any) -> Any:
    """A network whose inputs and outputs have names."""
    for name, node in inputs.items():
        node.output(0).set_names({name})
    for number, node in enumerate(outputs):
        node.output(0).set_names({f"y{number}"})
    return Model(list(outputs), list(inputs.values()), "network")


def dense(x: Any, columns: int, units: int) -> Any:
    weights, bias = ops.constant(floats(columns, units)), ops.constant(floats(units))
    return ops.add(ops.matmul(x, weights, transpose_a=False, transpose_b=False), bias)


def parameter(shape: Any, dtype: Any = np.float32) -> Any:
    return ops.parameter(PartialShape(shape), dtype)


def classifier(columns: int = 4) -> Made:
    x = parameter([-1, columns])
    probabilities = ops.softmax(dense(ops.relu(dense(x, columns, 8)), 8, 3), 1)
    label = ops.convert(ops.topk(probabilities, ops.constant(np.int64(1)), 1, "max", "value").output(1), "i64")
    return network(probabilities, label, x=x), {"x": floats(6, columns)}


def one_row() -> Made:
    x = parameter([1, 4])
    return network(dense(x, 4, 2), x=x), {"x": floats(1, 4)}


def convolution() -> Made:
    x = parameter([-1, 3, -1, -1])
    filtered = ops.convolution(x, ops.constant(floats(4, 3, 3, 3)), [1, 1], [0, 0], [0, 0], [1, 1])
    return network(ops.reduce_mean(filtered, ops.constant([2, 3])), x=x), {"x": floats(2, 3, 8, 9)}


def scalars() -> Made:
    a, b = parameter([]), parameter([-1])
    return network(ops.multiply(a, b), ops.negative(a), a=a, b=b), {"a": np.array(3, np.float32), "b": floats(5)}


def wide_integers() -> Made:
    x = parameter([-1, 2], np.int64)
    return network(ops.reshape(x, ops.constant([-1]), special_zero=False), x=x), {
        "x": np.array([[2**62, -(2**60) - 1], [7, -8]])
    }


def missing_values() -> Made:
    x = parameter([-1, 3])
    zeros = ops.constant(np.float32(0))
    made = network(ops.select(ops.is_nan(x), zeros, x), ops.exp(x), x=x)
    return made, {"x": np.array([[np.nan, np.inf, 1], [-np.inf, 2, np.nan]], np.float32)}


def texts() -> Made:
    x = parameter([-1, 2], Type.string)
    pieces = ops.string_tensor_unpack(x)
    words = ops.string_tensor_pack(*pieces.outputs())
    return network(words, x=x), {"x": np.array([["Grüße".encode(), b""], ["東京".encode(), b"a\0b"]], object)}


def truths() -> Made:
    x, y = parameter([-1], np.bool_), parameter([-1], np.bool_)
    return network(ops.logical_xor(x, y), x=x, y=y), {"x": np.array([True, False]), "y": np.array([True, True])}


def halves() -> Made:
    x = parameter([-1, 4], np.float16)
    return network(ops.relu(x), x=x), {"x": floats(3, 4).astype(np.float16)}


def embedding() -> Made:
    x = parameter([-1, -1], np.int64)
    rows = ops.gather(ops.constant(floats(10, 4)), x, ops.constant(np.int64(0)))
    return network(ops.reduce_sum(rows, ops.constant([1])), x=x), {"x": np.array([[1, 2, 9], [0, 0, 5]])}


def pixels() -> Made:
    x = parameter([-1, 3, 8, 8])
    model = network(ops.reduce_max(x, ops.constant([2, 3])), x=x)
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(Type.f32).scale(255.0)
    return steps.build(), {"x": RANDOM.integers(0, 256, (2, 8, 8, 3), np.uint8)}


def quantised() -> Made:
    x = parameter([-1, 4])
    bounds = [ops.constant(np.float32(value)) for value in (-3, 3, -3, 3)]
    return network(dense(ops.fake_quantize(x, *bounds, 256), 4, 3), x=x), {"x": floats(3, 4)}


def recurrent() -> Made:
    x = parameter([-1, 5, 4])
    state = ops.constant(np.zeros((1, 1, 6), np.float32))
    batch = ops.gather(ops.shape_of(x), ops.constant([0]), ops.constant(np.int64(0)))
    shape = ops.concat([batch, ops.constant([1, 6])], 0)
    start, lengths = ops.broadcast(state, shape), ops.broadcast(ops.constant([5]), batch)
    weights = [ops.constant(floats(1, 24, 4)), ops.constant(floats(1, 24, 6)), ops.constant(floats(1, 24))]
    cells = ops.lstm_sequence(x, start, start, lengths, *weights, 6, "forward")
    last = ops.squeeze(cells.output(1), ops.constant([1]))
    return network(last, x=x), {"x": floats(3, 5, 4)}


def detections() -> Made:
    """How many rows come out depends on the values."""
    x = parameter([-1])
    return network(ops.non_zero(ops.greater(x, ops.constant(np.float32(0))), "i64"), x=x), {"x": floats(9)}


def without_inputs() -> Made:
    return network(ops.relu(ops.constant(floats(2, 2)))), {}


MODELS: dict[str, Callable[[], Made]] = {
    "a classifier": classifier,
    "10 000 features": lambda: classifier(10_000),
    "one row": one_row,
    "a convolution of images of any size": convolution,
    "scalars": scalars,
    "wide integers": wide_integers,
    "missing values": missing_values,
    "texts": texts,
    "truth values": truths,
    "half precision": halves,
    "categories": embedding,
    "pixels with steps before the model": pixels,
    "a quantised model": quantised,
    "a recurrent model": recurrent,
    "as many rows as there are values": detections,
    "no inputs": without_inputs,
}


def save(made: Any, path: Path, *, compressed: bool = False) -> Path:
    openvino.save_model(made, path, compress_to_fp16=compressed)
    return path


def own_tensor(array: NDArray[Any]) -> Any:
    if not array.dtype.hasobject:
        return array
    return openvino.Tensor(array.tolist()) if array.size else openvino.Tensor(Type.string, array.shape)


def own_answer(path: Path, inputs: Inputs, settings: dict[str, Any] | None = None) -> dict[str, NDArray[Any]]:
    given = {name: own_tensor(array) for name, array in inputs.items()}
    answer = openvino.compile_model(path, "CPU", settings or {})(given, decode_strings=False)
    return {port.any_name: array for port, array in answer.items()}


def check(answer: Any, own: dict[str, NDArray[Any]]) -> None:
    assert answer.keys() == own.keys()
    for name, array in own.items():
        assert answer[name].shape == array.shape
        if array.dtype.kind == "S":
            assert answer[name].tolist() == array.tolist()
        else:
            assert answer[name].dtype == array.dtype
            assert np.array_equal(answer[name], array, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_openvino_answers(tmp_path: Path, name: str) -> None:
    made, inputs = MODELS[name]()
    path = save(made, tmp_path / "model.xml")
    with mlbuffet.load(path) as model:
        check(model.predict(inputs), own_answer(path, inputs))
        shapes = [spec.shape for spec in model.signatures["serving_default"].inputs.values()]
        if shapes and all(shape and shape[0] is None for shape in shapes):
            for rows in (slice(1), slice(0)) if name != "texts" else (slice(1),):  # of which OpenVINO needs one
                some = {name: array[rows] for name, array in inputs.items()}
                check(model.predict(some), own_answer(path, some))


@pytest.mark.parametrize("precision", ["f32", "bf16", None])
def test_floats_are_computed_as_the_option_says(tmp_path: Path, precision: str | None) -> None:
    made, inputs = classifier(64)
    path = save(made, tmp_path / "model.xml", compressed=True)
    settings = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    with mlbuffet.load(path, options={"inference_precision": precision, "inference_num_threads": 1}) as model:
        check(model.predict(inputs), own_answer(path, inputs, settings))


@pytest.mark.parametrize(
    ("ours", "dtype"),
    [("bf16", ml_dtypes.bfloat16), ("f8e4m3", ml_dtypes.float8_e4m3fn), ("f8e5m2", ml_dtypes.float8_e5m2)],
)
def test_small_floats_are_those_of_ml_dtypes(tmp_path: Path, ours: str, dtype: Any) -> None:
    x = parameter([-1, 2], getattr(Type, ours))
    values = np.array([[1.5, -2], [0.25, 8]], dtype)
    with mlbuffet.load(save(Model([ops.result(x)], [x], "network"), tmp_path / "model.xml")) as model:
        (answer,) = model.predict(dict.fromkeys(model.signatures["serving_default"].inputs, values)).values()
    assert answer.dtype == dtype
    assert answer.tolist() == values.tolist()


def test_outputs_without_names_of_their_own_get_some(tmp_path: Path) -> None:
    x = ops.parameter(PartialShape([-1]), np.float32)
    y = ops.relu(x)
    y.output(0).set_names({"y"})
    path = save(Model([ops.result(y), ops.result(y), ops.negative(y)], [x], "network"), tmp_path / "model.xml")
    with mlbuffet.load(path) as model:
        (given,) = model.signatures["serving_default"].inputs
        answers = list(model.predict({given: np.array([-1, 2], np.float32)}).values())
    assert [answer.tolist() for answer in answers] == [[0, 2], [0, 2], [0, -2]]


def test_what_a_call_leaves_in_a_model_with_state_is_not_seen_by_the_next(tmp_path: Path) -> None:
    x = parameter([1, 2])
    total = ops.add(x, ops.read_value(ops.constant(np.zeros((1, 2), np.float32)), "total"))
    total.output(0).set_names({"total"})
    x.output(0).set_names({"x"})
    made = Model([ops.result(total)], [ops.assign(total, "total")], [x], "network")
    with mlbuffet.load(save(made, tmp_path / "model.xml")) as model:
        for _ in range(3):
            assert model.predict({"x": [[1.0, 2.0]]})["total"].tolist() == [[1, 2]]


def product() -> Any:
    a, b = parameter([-1, -1]), parameter([-1, -1])
    return network(ops.matmul(a, b, transpose_a=False, transpose_b=False), a=a, b=b)


def test_sizes_that_do_not_go_together_are_invalid_and_harm_no_later_call(tmp_path: Path) -> None:
    good, bad = {"a": floats(2, 3), "b": floats(3, 2)}, {"a": floats(2, 3), "b": floats(4, 2)}
    with mlbuffet.load(save(product(), tmp_path / "model.xml")) as model:
        first = model.predict(good)["y0"]
        with pytest.raises(InvalidInput, match=r"'a' of shape \(2, 3\), 'b' of shape \(4, 2\): sizes do not go"):
            model.predict(bad)
        assert np.array_equal(model.predict(good)["y0"], first)


def test_values_that_an_operator_cannot_take_are_invalid_and_harm_no_later_call(tmp_path: Path) -> None:
    x, b = parameter([-1]), parameter([-1, -1])
    positions = ops.non_zero(ops.greater(x, ops.constant(np.float32(0))), "i64")
    made = ops.matmul(ops.convert(positions, "f32"), b, transpose_a=False, transpose_b=False)
    good = {"x": np.array([1, -1, 1], np.float32), "b": floats(2, 3)}
    with mlbuffet.load(save(network(made, x=x, b=b), tmp_path / "model.xml")) as model:
        first = model.predict(good)["y0"]
        for bad in ({**good, "x": np.ones(3, np.float32)}, {**good, "b": floats(5, 3)}):
            with pytest.raises(InvalidInput, match="operator MatMul cannot take what comes of the inputs"):
                model.predict(bad)
            assert np.array_equal(model.predict(good)["y0"], first)


def test_sizes_with_limits_are_told_and_held(tmp_path: Path) -> None:
    x = parameter("1..3,2")
    with mlbuffet.load(save(network(ops.relu(x), x=x), tmp_path / "model.xml")) as model:
        assert model.signatures["serving_default"].inputs["x"].description == "of shape [1..3,2]"
        assert model.predict({"x": floats(3, 2)})["y0"].shape == (3, 2)
        with pytest.raises(InvalidInput, match="sizes do not go together"):
            model.predict({"x": floats(4, 2)})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"device": "ABACUS"}, "there is no device 'ABACUS' here, which has CPU"),
        ({"device": "AUTO:ABACUS"}, "there is no device 'AUTO:ABACUS' here, which has CPU"),
        ({"performance_hint": "speed"}, "performance_hint"),
        ({"inference_precision": "f64"}, "inference_precision"),
        ({"inference_num_threads": -1}, "inference_num_threads"),
        ({"streams": 1}, "there is no option 'streams'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    path = save(one_row()[0], tmp_path / "model.xml")
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(path, options=options)


NETWORK = b'<?xml version="1.0"?>\n<net name="m" version="%s">\n<layers></layers><edges></edges></net>\n'
REFUSED = {
    "old.xml": (NETWORK % b"7", "version 7 of OpenVINO's format, and versions 10 and 11 are read"),
    "model.ir": (NETWORK % b"11", "under another name: rename it so that it ends in .xml"),
    "cut.xml": (NETWORK[:60] % b"11", "cannot read it: it is damaged"),
    "foreign.xml": (b"<note/>", "no model of OpenVINO"),
    "foreign.onnx": (b"PK\3\4", "the .onnx file is damaged or empty"),
    "foreign.tflite": (b"", "the .tflite file is damaged or empty"),
    "cut.tflite": (b"\x1c\0\0\0TFL3\x14\0\x20\0", "cannot read it: it is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime="openvino")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("there", "instead", "reason"),
    [
        ('type="SoftMax" version="opset8"', 'type="SoftMax" version="opset99"', "does not know: SoftMax"),
        ('type="SoftMax" version="opset8"', 'type="Abacus" version="mine"', "does not know: Abacus"),
    ],
)
def test_operators_that_openvino_lacks_are_named(tmp_path: Path, there: str, instead: str, reason: str) -> None:
    path = save(classifier()[0], tmp_path / "model.xml")
    path.write_text(path.read_text().replace(there, instead))
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ([-1, 2], Type.u4, "is of type u4, which is packed"),
        ([-1, 2], Type.u1, "cannot run it on the device 'CPU'"),
        ("...", Type.f32, "cannot run it on the device 'CPU'"),
    ],
)
def test_types_and_shapes_that_cannot_be_run_are_refused(tmp_path: Path, shape: Any, dtype: Any, reason: str) -> None:
    x = parameter(shape, dtype)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(save(Model([ops.result(x)], [x], "network"), tmp_path / "model.xml"))


@pytest.mark.parametrize(
    ("weights", "reason"), [(None, "its weights are missing: put the .bin file"), (b"\0" * 20, "its .bin file is cut")]
)
def test_weights_that_are_missing_or_short_are_told(tmp_path: Path, weights: bytes | None, reason: str) -> None:
    path = save(classifier()[0], tmp_path / "model.xml")
    path.with_suffix(".bin").unlink()
    if weights:
        path.with_suffix(".bin").write_bytes(weights)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = save(one_row()[0], tmp_path / "model.xml")
    content = path.read_bytes()
    for length in range(0, len(content) - 10, 61):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed):
            mlbuffet.load(path, runtime="openvino")


@pytest.mark.parametrize("content", [b"", b"<note/>", b"<html><net version='11'/>", b"\x80\4K\1."])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.xml").write_bytes(content)
    for path in (tmp_path / "m.xml", tmp_path):
        assert OpenVINORuntime().accepts(path) is False
        assert OpenVINORuntime().explain(path) is None


def test_rows_that_openvino_cannot_compute_are_invalid(tmp_path: Path) -> None:
    with mlbuffet.load(save(texts()[0], tmp_path / "model.xml")) as model:
        with pytest.raises(InvalidInput, match="operator StringTensorPack cannot take"):
            model.predict({"x": np.empty((0, 2), object)})
        assert model.predict({"x": [["a", "b"]]})["y0"].tolist() == [[b"a", b"b"]]


def test_of_several_models_in_a_folder_one_has_the_name_that_counts(tmp_path: Path) -> None:
    for name in ("model", "tokens"):
        save(one_row()[0], tmp_path / f"{name}.xml")
    assert OpenVINORuntime().accepts(tmp_path) is True
    (tmp_path / "model.xml").rename(tmp_path / "other.xml")
    assert OpenVINORuntime().accepts(tmp_path) is False
    with pytest.raises(LoadFailed, match=r"of several one called model\.xml"):
        mlbuffet.load(tmp_path, runtime="openvino")


def onnx_model(path: Path, operator: str = "MatMul") -> Path:
    """A model of another runtime, which OpenVINO reads as well."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    weights = numpy_helper.from_array(floats(4, 3), "w")
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]),
    ]
    graph = helper.make_graph([helper.make_node(operator, ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    save_model(made, path)
    return path


def test_the_models_of_other_runtimes_are_run_where_openvino_is_chosen(tmp_path: Path) -> None:
    path = onnx_model(tmp_path / "m.onnx")
    assert mlbuffet.which(path).chosen == "onnx"
    inputs = {"x": floats(5, 4)}
    with mlbuffet.load(path, runtime="openvino") as model:
        check(model.predict(inputs), own_answer(path, inputs))


def test_operators_of_onnx_that_openvino_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="does not know: Abacus"):
        mlbuffet.load(onnx_model(tmp_path / "m.onnx", "Abacus"), runtime="openvino")


def test_nothing_is_reported_to_the_maker(tmp_path: Path) -> None:
    path = save(one_row()[0], tmp_path / "model.xml")
    (home := tmp_path / "home").mkdir()
    program = "import sys, mlbuffet; mlbuffet.load(sys.argv[1]); print([m for m in sys.modules if 'telemetry' in m])"
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, env={"HOME": str(home)})
    assert not [name for name in ast.literal_eval(ran.stdout) if name.startswith("openvino_telemetry")]
    assert list(home.iterdir()) == []


def test_one_model_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    (tmp_path / "flowers").mkdir()
    made, inputs = classifier()
    path = save(made, tmp_path / "flowers" / "model.xml")
    (tmp_path / "flowers" / "model.toml").write_text('[options]\ninference_precision = "f32"\n')
    save(texts()[0], tmp_path / "words.xml")
    own = own_answer(path, inputs, {"INFERENCE_PRECISION_HINT": "f32"})
    rows = {"name": "x", "shape": [6, 4], "datatype": "FP32", "data": inputs["x"].ravel().tolist()}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/flowers/infer", json={"inputs": [rows]}).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert np.array_equal(np.array(outputs["y0"], np.float32), own["y0"].ravel())
        assert outputs["y1"] == own["y1"].ravel().tolist()
        assert client.get("/v2/models/flowers").json()["platform"] == "openvino"
        answer = client.post("/v1/models/words:predict", json={"instances": [["Ōsaka", ""], ["a", "b"]]}).json()
        assert answer == {"predictions": [["Ōsaka", ""], ["a", "b"]]}
    (tmp_path / "in.json").write_text(json.dumps({"x": [["Ōsaka", "東京"]]}))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mlbuffet",
        "predict",
        tmp_path / "words.xml",
        "--inputs",
        tmp_path / "in.json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == {"y0": [["Ōsaka", "東京"]]}


class TestOpenVINO(RuntimeConformance):
    leak_rounds = 4  # compiling takes a tenth of a second
    leak_bytes = 2 * 2**20

    @pytest.fixture
    def plugin(self) -> OpenVINORuntime:
        return OpenVINORuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        made, inputs = classifier()
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        own = own_answer(save(made, tmp_path / "m" / "model.xml"), inputs, settings)
        return Artifact(tmp_path / "m", inputs, own, options={"inference_precision": "f32"})


class TestOpenVINOsTexts(TestOpenVINO):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        made, inputs = texts()
        return Artifact(save(made, tmp_path / "m.xml"), inputs, {"y0": inputs["x"]})


class TestOpenVINOWithAnONNXModel(TestOpenVINO):
    def test_it_accepts_its_artifact(self, runtime: Any, artifact: Artifact) -> None:
        """It is the ONNX runtime's, unless this one is chosen."""
        assert runtime.hook("accepts")(path=artifact.path) is False

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path, inputs = onnx_model(tmp_path / "m.onnx"), {"x": floats(5, 4)}
        own = own_answer(path, inputs, {"INFERENCE_PRECISION_HINT": "f32"})
        return Artifact(path, inputs, own, options={"inference_precision": "f32"})


class Interrupted(Requests):
    """Compiles its model again after a call has read one attribute, as the failed call of another thread may."""

    is_armed = False

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in ("compiled", "_graph", "_free") and self.is_armed:
            self.is_armed = False
            self._renew(self.compiled)
        return value


def test_a_call_keeps_no_request_of_a_graph_that_was_replaced() -> None:
    x = parameter([1])
    added = iter([openvino.compile_model(network(ops.add(x, ops.constant(floats(1))), x=x), "CPU") for _ in range(2)])
    requests = Interrupted(lambda: next(added))
    requests.is_armed = True
    tensors = [openvino.Tensor(np.zeros(1, np.float32))]
    requests.infer(tensors)
    assert requests.infer(tensors) == tuple(requests.compiled(tensors).values())
