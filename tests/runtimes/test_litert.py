"""The LiteRT runtime answers what LiteRT itself answers, to the last bit, whatever the signatures and types."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("ai_edge_litert", reason="`make runtimes` installs it")

import flatbuffers
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_litert._model import LiteRTModel
from mlbuffet_litert._options import Options
from mlbuffet_litert.plugin import LiteRTRuntime

RANDOM = np.random.default_rng(0)
Inputs = dict[str, NDArray[Any]]
Function = Callable[..., Any]


def floats(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(size=shape).astype(np.float32)


def convert(*functions: Any, **settings: Any) -> bytes:
    """A model with the concrete ``functions``, each a signature of its name."""
    module = tf.Module()
    for function in functions:
        setattr(module, function.python_function.__name__, function)
    concrete = [function.get_concrete_function() for function in functions]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, module)
    for name, value in settings.items():
        setattr(converter, name, value)
    content: bytes = converter.convert()
    return content


def function(body: Function, *inputs: Any) -> Any:
    return tf.function(body, input_signature=inputs)


def tensor(name: str, shape: Sequence[int | None], dtype: Any = tf.float32) -> Any:
    return tf.TensorSpec(shape, dtype, name)


def dense(columns: int, units: int = 3, rows: int | None = None) -> Any:
    weights, bias = tf.constant(floats(columns, units)), tf.constant(floats(units))

    def serving_default(x: Any) -> Any:
        scores = tf.matmul(x, weights) + bias
        return {"probabilities": tf.nn.softmax(scores), "label": tf.argmax(scores, -1)}

    return function(serving_default, tensor("x", [rows, columns]))


def convolution() -> Any:
    filters = tf.constant(floats(3, 3, 3, 4))

    def serving_default(image: Any) -> Any:
        return {"features": tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, filters, 1, "VALID")), [1, 2])}

    return function(serving_default, tensor("image", [None, 8, 8, 3]))


def embedding() -> Any:
    table = tf.constant(floats(10, 4))

    def serving_default(codes: Any) -> Any:
        return {"sums": tf.reduce_sum(tf.gather(table, codes), 1)}

    return function(serving_default, tensor("codes", [None, 3], tf.int32))


def recurrent() -> Any:
    into, again = tf.constant(floats(4, 6)), tf.constant(floats(6, 6))

    def serving_default(x: Any) -> Any:
        state = tf.zeros([1, 6])
        for step in tf.range(5):
            state = tf.tanh(tf.matmul(x[:, step], into) + tf.matmul(state, again))
        return {"state": state}

    return function(serving_default, tensor("x", [1, 5, 4]))


def wide(x: Any) -> Any:
    return {"doubled": x + x}


def missing(x: Any) -> Any:
    return {"filled": tf.where(tf.math.equal(x, x), x, tf.zeros_like(x)), "same": -x}


def scaled(rows: Any, factor: Any) -> Any:
    return {"rows": rows * factor, "factor": factor}


def truths(a: Any, b: Any) -> Any:
    return {"both": tf.logical_and(a, b)}


def backwards(text: Any) -> Any:
    return {"text": tf.gather(text, tf.range(tf.shape(text)[0])[::-1]), "first": text[:1]}


def quantise(integers: Any) -> dict[str, Any]:
    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([floats(1, 4)] for _ in range(8)),
        "target_spec": tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS_INT8]),
        "inference_input_type": integers,
        "inference_output_type": integers,
    }


def quantised(integers: Any) -> bytes:
    weights = tf.constant(floats(4, 3))

    def serving_default(x: Any) -> Any:
        return {"scores": tf.matmul(x, weights)}

    return convert(function(serving_default, tensor("x", [None, 4])), **quantise(integers))


TEXTS = np.array(["Grüße".encode(), b"", "東京".encode(), b"a\0b\0", b"\xff"], object)
WIDE = np.array([[2**62 - 1, -(2**61)], [7, -8]])
MODELS: dict[str, tuple[Callable[[], bytes], Inputs]] = {
    "a classifier": (lambda: convert(dense(4)), {"x": floats(5, 4)}),
    "10 000 features": (lambda: convert(dense(10_000)), {"x": floats(5, 10_000)}),
    "one row": (lambda: convert(dense(4, rows=1)), {"x": floats(1, 4)}),
    "a convolution": (lambda: convert(convolution()), {"image": floats(3, 8, 8, 3)}),
    "a recurrent model": (lambda: convert(recurrent()), {"x": floats(1, 5, 4)}),
    "categories": (lambda: convert(embedding()), {"codes": np.array([[0, 1, 9], [3, 3, 3]], np.int32)}),
    "wide integers": (lambda: convert(function(wide, tensor("x", [None, 2], tf.int64))), {"x": WIDE}),
    "missing values": (
        lambda: convert(function(missing, tensor("x", [None]))),
        {"x": np.array([np.nan, 1, np.inf, -0.0], np.float32)},
    ),
    "scalars": (
        lambda: convert(function(scaled, tensor("rows", [None, 2]), tensor("factor", []))),
        {"rows": floats(3, 2), "factor": np.array(3, np.float32)},
    ),
    "truth values": (
        lambda: convert(function(truths, tensor("a", [None], tf.bool), tensor("b", [None], tf.bool))),
        {"a": np.array([True, False]), "b": np.array([True, True])},
    ),
    "texts": (lambda: convert(function(backwards, tensor("text", [None], tf.string))), {"text": TEXTS}),
    "quantised to int8": (lambda: quantised(tf.int8), {"x": RANDOM.integers(-128, 128, (4, 4), np.int8)}),
    "quantised to uint8": (lambda: quantised(tf.uint8), {"x": RANDOM.integers(0, 256, (4, 4), np.uint8)}),
    "quantised weights": (
        lambda: convert(dense(64, 32), optimizations=[tf.lite.Optimize.DEFAULT]),
        {"x": floats(5, 64)},
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that converts a model, once."""
    folder, names = tmp_path_factory.mktemp("models"), list(MODELS)

    def make(name: str) -> Path:
        path: Path = folder / f"{names.index(name)}.tflite"
        if not path.exists():
            path.write_bytes(MODELS[name][0]())
        return path

    return make


def own_answer(path: Path, inputs: Inputs, signature: str | None = None) -> dict[str, Any]:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    answer: dict[str, Any] = interpreter.get_signature_runner(signature)(**inputs)
    return answer


def check(answer: Any, own: dict[str, Any]) -> None:
    assert answer.keys() == own.keys()
    for name, value in own.items():
        array = np.asarray(value)
        assert (answer[name].dtype, answer[name].shape) == (array.dtype, array.shape)
        assert answer[name].tolist() == array.tolist() or np.array_equal(answer[name], array, equal_nan=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_litert_answers(made: Callable[[str], Path], name: str) -> None:
    path = made(name)
    with mlbuffet.load(path) as model:
        (signature,) = model.signatures.values()
        inputs = MODELS[name][1]
        check(model.predict(inputs), own_answer(path, inputs))
        if all(spec.shape and spec.shape[0] is None for spec in signature.inputs.values()):
            for rows in (slice(1), slice(0), slice(None)):
                some = {given: array[rows] for given, array in inputs.items()}
                check(model.predict(some), own_answer(path, some))


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def without_signatures(content: bytes) -> bytes:
    """The model as converters before 2021 wrote it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.signatureDefs = None
    return packed(model)


def test_a_model_without_signatures_is_its_graph(made: Callable[[str], Path], tmp_path: Path) -> None:
    name, inputs = "scalars", MODELS["scalars"][1]
    (tmp_path / "m.tflite").write_bytes(without_signatures(made(name).read_bytes()))
    with mlbuffet.load(tmp_path / "m.tflite") as model:
        signature = model.signatures["serving_default"]
        assert all("factor" in given or "rows" in given for given in signature.inputs)
        for rows in (slice(1), slice(0), slice(None)):
            given = {port: inputs["factor"] if "factor" in port else inputs["rows"][rows] for port in signature.inputs}
            own = own_answer(made(name), {"rows": inputs["rows"][rows], "factor": inputs["factor"]})
            answers = list(model.predict(given).values())
            assert any(np.array_equal(answer, own["rows"]) for answer in answers)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with two functions that share nothing but the file."""
    path: Path = tmp_path_factory.mktemp("several") / "m.tflite"
    ours = function(scaled, tensor("rows", [None, 2]), tensor("factor", []))
    path.write_bytes(convert(ours, function(backwards, tensor("text", [None], tf.string))))
    return path


def test_each_signature_is_one(several: Path) -> None:
    texts, numbers = {"text": TEXTS}, {"rows": floats(4, 2), "factor": np.array(2, np.float32)}
    with mlbuffet.load(several) as model:
        assert set(model.signatures) == {"scaled", "backwards"}
        for _ in range(2):
            check(model.predict(texts, signature="backwards"), own_answer(several, texts, "backwards"))
            check(model.predict(numbers, signature="scaled"), own_answer(several, numbers, "scaled"))
        with pytest.raises(mlbuffet.UnknownSignature, match="there are several, and none is called serving_default"):
            model.predict(texts)


def recurrent_graph() -> Any:
    """y = h = relu(x + h), where h is a variable; converters write this operator no more."""
    graph, operator = schema.SubGraphT(), schema.OperatorT()
    graph.tensors = []
    for number, (name, shape) in enumerate(
        {"x": [1, 2], "w": [2, 2], "r": [2, 2], "b": [2], "h": [1, 2], "y": [1, 2]}.items()
    ):
        graph.tensors.append(schema.TensorT())
        vars(graph.tensors[-1]).update(
            name=name, shape=shape, buffer=number if 1 <= number <= 3 else 0, isVariable=name == "h"
        )
    operator.inputs, operator.outputs = [0, 1, 2, 3, 4], [5]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.RNNOptions, schema.RNNOptionsT()
    graph.inputs, graph.outputs, graph.operators = [0], [5], [operator]
    return graph


def recurrent_model(names: Sequence[str]) -> bytes:
    """A model with that graph, or one for each of the signatures with ``names``."""
    model, code = schema.ModelT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RNN
    code.version, model.version, model.operatorCodes = 1, 3, [code]
    model.buffers = [schema.BufferT() for _ in range(4)]
    for buffer, values in zip(model.buffers[1:], (np.eye(2), np.eye(2), np.zeros(2)), strict=True):
        buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
    model.subgraphs = [recurrent_graph() for _ in names or [""]]
    model.signatureDefs = [schema.SignatureDefT() for _ in names]
    for number, name in enumerate(names):
        given, answer = schema.TensorMapT(), schema.TensorMapT()
        given.name, given.tensorIndex, answer.name, answer.tensorIndex = "x", 0, "y", 5
        vars(model.signatureDefs[number]).update(
            signatureKey=name, subgraphIndex=number, inputs=[given], outputs=[answer]
        )
    return packed(model)


@pytest.mark.parametrize("names", [[], ["one"], ["one", "two"]])
def test_what_a_call_leaves_in_variables_is_not_seen_by_the_next(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(recurrent_model(names))
    with mlbuffet.load(tmp_path / "m.tflite") as model:
        for _ in range(3):
            for name in names or ["serving_default"]:
                assert model.predict({"x": [[1.0, 2.0]]}, signature=name)["y"].tolist() == [[1, 2]]


def test_what_quantised_integers_stand_for_is_said(made: Callable[[str], Path]) -> None:
    details = Interpreter(model_path=str(made("quantised to int8"))).get_input_details()[0]
    scale, zero = details["quantization"]
    with mlbuffet.load(made("quantised to int8")) as model:
        spec = model.signatures["serving_default"].inputs["x"]
    assert spec.dtype == np.int8
    assert spec.description == f"quantised: q stands for {scale:.7g} * (q {-zero:+})"


@pytest.mark.parametrize("codes", [[[10, 0, 0]], [[-1, 0, 0]]])
def test_a_category_that_the_table_lacks_is_invalid_and_harms_no_later_call(
    made: Callable[[str], Path], codes: list[list[int]]
) -> None:
    inputs = MODELS["categories"][1]
    with mlbuffet.load(made("categories")) as model:
        for _ in range(2):
            with pytest.raises(InvalidInput, match=r"operator GATHER cannot take what comes of the inputs 'codes'"):
                model.predict({"codes": codes})
            check(model.predict(inputs), own_answer(made("categories"), inputs))


def test_sizes_that_do_not_go_together_are_invalid(tmp_path: Path) -> None:
    def serving_default(a: Any, b: Any) -> Any:
        return {"sum": a + b}

    path = tmp_path / "m.tflite"
    path.write_bytes(convert(function(serving_default, tensor("a", [None, 2]), tensor("b", [None, 2]))))
    with mlbuffet.load(path) as model:
        with pytest.raises(InvalidInput, match="sizes do not go together"):
            model.predict({"a": floats(2, 2), "b": floats(3, 2)})
        assert model.predict({"a": floats(2, 2), "b": floats(2, 2)})["sum"].shape == (2, 2)


class Failing:
    """A function of an interpreter that fails, whatever its inputs are."""

    error = RuntimeError("out of memory")

    def call(self, **_: Any) -> Any:
        raise self.error


def test_an_error_that_is_not_due_to_the_inputs_is_raised_as_it_is(made: Callable[[str], Path]) -> None:
    model = LiteRTModel(made("categories").read_bytes(), Options())
    failing: Any = Failing()
    model._free.append({"serving_default": failing})
    with pytest.raises(RuntimeError) as raised:
        model.predict("serving_default", {})
    assert raised.value is Failing.error
    assert Failing.error.__cause__ is None


def test_operators_of_tensorflow_are_refused(tmp_path: Path) -> None:
    def serving_default(x: Any) -> Any:
        return {"y": tf.linalg.det(x)}

    supported = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    given = function(serving_default, tensor("x", [2, 2]))
    content = convert(given, target_spec=tf.lite.TargetSpec(supported_ops=supported))
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(LoadFailed, match="operators of TensorFlow"):
        mlbuffet.load(tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"num_threads": 0}, "num_threads"), ({"delegate": "gpu"}, "there is no option 'delegate'")],
)
def test_options_that_do_not_fit_are_refused(several: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(several, options=options)


REFUSED = {
    "empty.tflite": (b"", "empty or damaged"),
    "foreign.tflite": (b"PK\3\4 and more", "empty or damaged"),
    "cut.tflite": (b"\x1c\0\0\0TFL3\x14\0\x20\0", "cannot read it: it is damaged"),
    "model.lite": (b"\x1c\0\0\0TFL3\x14\0\x20\0", "under another name: rename it"),
}


@pytest.mark.parametrize("runtime", [None, "litert"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


def test_a_file_cut_short_anywhere_is_refused(several: Path, tmp_path: Path) -> None:
    content, path = several.read_bytes(), tmp_path / "m.tflite"
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed):
            mlbuffet.load(path, runtime="litert")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL2"])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.bin").write_bytes(content)
    assert LiteRTRuntime().accepts(tmp_path / "m.bin") is False
    assert LiteRTRuntime().explain(tmp_path / "m.bin") is None


def test_openvino_answers_the_same_where_it_is_chosen(made: Callable[[str], Path]) -> None:
    pytest.importorskip("mlbuffet_openvino._openvino", reason="`make runtimes` installs it")
    path, inputs = made("a convolution"), MODELS["a convolution"][1]
    assert mlbuffet.which(path).chosen == "litert"
    with mlbuffet.load(path, runtime="openvino", options={"inference_precision": "f32"}) as model:
        (given,) = model.signatures["serving_default"].inputs
        (answer,) = model.predict({given: inputs["image"]}).values()
    assert np.allclose(answer, own_answer(path, inputs)["features"], rtol=1e-4, atol=1e-5)


def test_one_model_is_served_over_http_and_by_the_command_line(
    several: Path, tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    (tmp_path / "words.tflite").write_bytes(several.read_bytes())
    rows = np.array([[1, 2], [3, 4.5]], np.float32)
    inputs = [
        {"name": "rows", "shape": [2, 2], "datatype": "FP32", "data": rows.ravel().tolist()},
        {"name": "factor", "shape": [], "datatype": "FP32", "data": [2.0]},
    ]
    with serve(tmp_path, runtimes=installed) as client:
        asked = {"parameters": {"signature_name": "scaled"}, "inputs": inputs}
        answer = client.post("/v2/models/words/infer", json=asked).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs == {"rows": (2 * rows).ravel().tolist(), "factor": [2.0]}
        asked = {"signature_name": "backwards", "inputs": {"text": ["東京", "Рим"]}}
        answer = client.post("/v1/models/words:predict", json=asked).json()
        assert answer == {"outputs": {"text": ["Рим", "東京"], "first": ["東京"]}}
    (tmp_path / "in.json").write_text(json.dumps({"text": ["東京", "Рим"]}))
    command: list[str | Path] = [sys.executable, "-m", "mlbuffet", "predict", several]
    command += ["--inputs", tmp_path / "in.json", "--signature", "backwards"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == answer["outputs"]


class TestLiteRT(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> LiteRTRuntime:
        return LiteRTRuntime()

    @pytest.fixture
    def artifact(self, made: Callable[[str], Path]) -> Artifact:
        path, inputs = made("a classifier"), MODELS["a classifier"][1]
        return Artifact(path, inputs, own_answer(path, inputs))


class TestLiteRTsSignatures(TestLiteRT):
    @pytest.fixture
    def artifact(self, several: Path) -> Artifact:
        own = own_answer(several, {"text": TEXTS}, "backwards")
        return Artifact(several, {"text": TEXTS}, own, signature="backwards", options={"num_threads": 2})


class TestLiteRTQuantised(TestLiteRT):
    @pytest.fixture
    def artifact(self, made: Callable[[str], Path]) -> Artifact:
        path, inputs = made("quantised to uint8"), MODELS["quantised to uint8"][1]
        return Artifact(path, inputs, own_answer(path, inputs))


class TestLiteRTWithoutSignatures(TestLiteRT):
    @pytest.fixture
    def artifact(self, made: Callable[[str], Path], tmp_path: Path) -> Artifact:
        path = tmp_path / "m.tflite"
        path.write_bytes(without_signatures(made("a convolution").read_bytes()))
        with mlbuffet.load(path) as model:
            (given,), (answer,) = (
                model.signatures["serving_default"].inputs,
                model.signatures["serving_default"].outputs,
            )
        inputs = MODELS["a convolution"][1]
        return Artifact(path, {given: inputs["image"]}, {answer: own_answer(made("a convolution"), inputs)["features"]})
