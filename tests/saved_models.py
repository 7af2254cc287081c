"""Models saved in every way that TensorFlow and Keras have, each with a question and what it answered before."""

# mypy: allow-untyped-calls, allow-subclassing-any, allow-untyped-decorators

import fcntl
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf

v1 = tf.compat.v1
Arrays = dict[str, NDArray[Any]]
ROWS = np.array([[1, 2, 3, 4], [0.5, 0, -1, 2]], np.float32)
WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


@dataclass
class Case:
    """What to ask the model at ``path``, and what the function answered before it was saved."""

    path: Path
    inputs: Arrays
    outputs: Arrays
    default: str | None = "serving_default"
    signature: str | None = None
    reason: str = "its name says so"


MAKERS: dict[str, Callable[[Path], Case]] = {}


def save_all(folder: Path) -> dict[str, Case]:
    """All of them, as a repository of models in ``folder``; by the first of several processes that ask."""
    folder.mkdir(exist_ok=True)
    record = folder.with_suffix(".pickle")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            made = {}
            for name, make in MAKERS.items():
                (folder / name).mkdir()
                made[name] = make(folder / name / "1")
            record.write_bytes(pickle.dumps(made))
    found: dict[str, Case] = pickle.loads(record.read_bytes())
    return found


def case(make: Callable[[Path], Case]) -> Callable[[Path], Case]:
    """Add a maker under its own name."""
    MAKERS[make.__name__.strip("_").replace("_", "-")] = make
    return make


def spec(shape: Sequence[int | None] | None, dtype: Any = "float32", name: str | None = None) -> Any:
    return tf.TensorSpec(shape, dtype, name=name)


def function(call: Callable[..., Any], *specs: Any) -> Any:
    return tf.function(call, input_signature=specs or None, autograph=False)


def array(value: Any) -> NDArray[Any]:
    """An eager tensor, or a numpy scalar, as an array of ours."""
    if hasattr(value, "numpy"):
        dtype = object if value.dtype == tf.string else value.dtype.as_numpy_dtype
        return np.array(value.numpy(), dtype)
    return np.asarray(value)


def saved(path: Path, call: Any, inputs: Mapping[str, NDArray[Any]], **state: Any) -> Case:
    """A module with one function, which is asked before it is saved."""
    module = tf.Module()
    for name, value in state.items():
        setattr(module, name, value)
    module.call = call
    answer = call(*map(tf.constant, inputs.values()))
    if not isinstance(answer, Mapping):
        many = answer if isinstance(answer, tuple | list) else (answer,)
        answer = {f"output_{number}": one for number, one in enumerate(many)}
    tf.saved_model.save(module, str(path))
    return Case(path, dict(inputs), {name: array(value) for name, value in answer.items()})


def text(*words: bytes) -> NDArray[Any]:
    words_ = np.empty(len(words), object)
    words_[:] = words
    return words_


# One function, and every type of number


def _of_type(dtype: Any, sent: NDArray[Any]) -> Callable[[Path], Case]:
    return lambda path: saved(path, function(lambda x: {"y": tf.concat([x, x], 0)}, spec([None], dtype)), {"x": sent})


NUMBERS = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16", "complex64", "complex128"),
]
for number in NUMBERS:
    _kind = np.dtype(ml_dtypes.bfloat16 if number == "bfloat16" else number)
    MAKERS[f"type-{number}"] = _of_type(number, np.array([1, 0, 3]).astype(_kind))
MAKERS["type-string"] = _of_type("string", text(b"one", b"", "zwölf".encode()))


# Shapes, and what functions return


@case
def unknown_rank(path: Path) -> Case:
    return saved(path, function(lambda x: {"y": x * 2}, spec(None)), {"x": ROWS})


@case
def scalars(path: Path) -> Case:
    return saved(path, function(lambda x: {"y": x * 2, "n": tf.size(x)}, spec([])), {"x": np.array(2.5, np.float32)})


@case
def zero_inputs(path: Path) -> Case:
    module = tf.Module()
    module.call = tf.function(lambda: {"y": tf.constant([1.5, 2.5])}, input_signature=[], autograph=False)
    tf.saved_model.save(module, str(path))
    return Case(path, {}, {"y": np.array([1.5, 2.5], np.float32)})


@case
def single_return(path: Path) -> Case:
    weights = tf.Variable(WEIGHTS)
    return saved(path, function(lambda x: x @ weights, spec([None, 4])), {"x": ROWS}, weights=weights)


@case
def tuple_return(path: Path) -> Case:
    return saved(path, function(lambda x: (x, x + 1, x * 2), spec([None, 4])), {"x": ROWS})


@case
def dict_return(path: Path) -> Case:
    return saved(path, function(lambda x: {"b": x, "a": x + 1}, spec([None, 4])), {"x": ROWS})


@case
def declared_order(path: Path) -> Case:
    call = function(lambda z, a: {"y": z - 2 * a}, spec([None], name="z"), spec([None], name="a"))
    return saved(path, call, {"z": ROWS[0], "a": ROWS[1]})


@case
def static_batch(path: Path) -> Case:
    return saved(path, function(lambda x: {"y": tf.nn.softmax(x)}, spec([2, 4])), {"x": ROWS})


@case
def control_flow(path: Path) -> Case:
    def call(x: Any) -> dict[str, Any]:
        return {"y": tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, y * 2), [tf.constant(0), x])[1]}

    return saved(path, function(call, spec([None])), {"x": ROWS[0]})


# What lies beside a graph: tables, files, state


@case
def static_table(path: Path) -> Case:
    keys = tf.lookup.KeyValueTensorInitializer(tf.constant(["red", "blue"]), tf.constant([7, 9], tf.int64))
    table = tf.lookup.StaticHashTable(keys, -1)
    call = function(lambda word: {"id": table.lookup(word)}, spec([None], "string"))
    return saved(path, call, {"word": text(b"blue", b"none")}, table=table)


@case
def table_from_a_file(path: Path) -> Case:
    file = path.with_suffix(".txt")
    file.write_text("red\nblue\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    lines = tf.lookup.TextFileInitializer(str(file), tf.string, whole, tf.int64, line)
    table = tf.lookup.StaticHashTable(lines, -1)
    call = function(lambda word: {"id": table.lookup(word)}, spec([None], "string"))
    made = saved(path, call, {"word": text(b"blue", b"none")}, table=table)
    file.unlink()
    return made


@case
def asset(path: Path) -> Case:
    file = path.with_suffix(".txt")
    file.write_text("content")
    one = tf.saved_model.Asset(str(file))
    made = saved(
        path, function(lambda x: {"y": tf.strings.join([x, tf.io.read_file(one.asset_path)])}, spec([], "string")),
        {"x": np.array(b"the ", object)}, asset=one,
    )  # fmt: skip
    file.unlink()
    return made


@case
def examples(path: Path) -> Case:
    def call(serialized: Any) -> dict[str, Any]:
        return {"y": tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([2], tf.float32)})["x"] * 2}

    features = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[1, 2]))}
    one = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return saved(path, function(call, spec([None], "string")), {"serialized": text(one)})


# Signatures by name


@case
def custom_name(path: Path) -> Case:
    module = tf.Module()
    tf.saved_model.save(module, str(path), signatures={"embed": function(lambda x: {"y": x + 1}, spec([None, 4]))})
    return Case(path, {"x": ROWS}, {"y": ROWS + 1}, "embed", reason="it is the only signature of the file")


@case
def two_custom_names(path: Path) -> Case:
    signatures = {name: function(lambda x, n=n: {"y": x + n}, spec([None, 4])) for n, name in enumerate(("one", "two"))}
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)
    return Case(path, {"x": ROWS}, {"y": ROWS + 1}, None, "two", "several signatures and none is called")


@case
def option_like_names(path: Path) -> Case:
    signatures = {
        name: function(lambda x: {"y": -x}, spec([None, 4])) for name in ("serve", "serving_default", "a/b c")
    }
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)
    return Case(path, {"x": ROWS}, {"y": -ROWS}, signature="a/b c")


# Functions without signatures


class Several(tf.Module):
    """Several functions, of which TensorFlow makes no signature."""

    def __init__(self, *, call: bool) -> None:
        super().__init__()
        self.weights = tf.Variable(WEIGHTS)
        self.embed = function(lambda x: {"vector": x @ self.weights}, spec([None, 4], name="x"))
        self.score = function(lambda d, z: (d["a"] * z, d["b"]), {"b": spec([]), "a": spec([None])}, spec([], name="z"))
        if call:
            self.__call__ = function(lambda x: x @ self.weights + 1, spec([None, 4], name="x"))


@case
def functions_with_a_call(path: Path) -> Case:
    tf.saved_model.save(Several(call=True), str(path))
    return Case(path, {"x": ROWS}, {"output_0": ROWS @ WEIGHTS + 1}, "__call__", reason="of its functions '__call__'")


@case
def functions_without_a_call(path: Path) -> Case:
    tf.saved_model.save(Several(call=False), str(path))
    reason = (
        'several functions; save it with tf.saved_model.save(model, path, signatures={"serving_default": model.embed}'
    )
    return Case(path, {"x": ROWS}, {"vector": ROWS @ WEIGHTS}, None, "embed", reason)


@case
def of_a_program_whose_objects_are_gone(path: Path) -> Case:
    """As an older Keras wrote it: the object loader looks for an optimizer that this TensorFlow does not know."""
    weights, slot = tf.Variable(WEIGHTS), tf.Variable(WEIGHTS)
    call = function(lambda x: {"y": x @ weights}, spec([None, 4], name="x"))
    made = saved(path, call, {"x": ROWS}, weights=weights, slot=slot, optimizer=tf.Module())
    file = path / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    nodes = message.meta_graphs[0].object_graph_def.nodes
    ids = {child.local_name: child.node_id for child in nodes[0].children}
    nodes[ids["optimizer"]].slot_variables.add(
        original_variable_node_id=ids["weights"], slot_name="m", slot_variable_node_id=ids["slot"]
    )
    file.write_bytes(message.SerializeToString())
    with pytest.raises(AttributeError, match="'add_slot'"):
        tf.saved_model.load(str(path))
    return made


@case
def nested_inputs_of_a_function(path: Path) -> Case:
    tf.saved_model.save(Several(call=False), str(path))
    inputs = {"d_a": ROWS[0], "d_b": np.array(5, np.float32), "z": np.array(2, np.float32)}
    outputs = {"output_0": ROWS[0] * 2, "output_1": np.array(5, np.float32)}
    return Case(path, inputs, outputs, None, "score", "several functions")


def traced(path: Path, *calls: tuple[tuple[Any, ...], dict[str, Any]]) -> Path:
    """A module with one function that was called so, and that has no signature."""

    def predict(x: Any, *, double: bool = False) -> dict[str, Any]:
        return {"y": x * 2 if double else x, "rank": tf.rank(x) + 0}

    module = tf.Module()
    module.predict = tf.function(predict, autograph=False)
    for values, keywords in calls:
        module.predict(*values, **keywords)
    tf.saved_model.save(module, str(path))
    return path


ONLY = "the file has no signatures, and this is its only function"


@case
def traced_once(path: Path) -> Case:
    outputs = {"rank": np.array(2, np.int32), "y": ROWS}
    return Case(traced(path, ((ROWS,), {})), {"x": ROWS}, outputs, "predict", reason=ONLY)


@case
def traced_for_two_ranks(path: Path) -> Case:
    outputs = {"rank": np.array(1, np.int32), "y": ROWS[0]}
    return Case(traced(path, ((ROWS,), {}), ((ROWS[0],), {})), {"x": ROWS[0]}, outputs, "predict", reason=ONLY)


@case
def traced_for_two_dtypes(path: Path) -> Case:
    """Once more with floats of another rank: dtypes choose, then shapes."""
    folder = traced(path, ((ROWS,), {}), ((ROWS.astype(np.int32),), {}), ((ROWS[0],), {}))
    outputs = {"rank": np.array(2, np.int32), "y": ROWS.astype(np.int32)}
    return Case(folder, {"x": ROWS.astype(np.int32)}, outputs, "predict", reason=ONLY)


@case
def traced_with_a_flag(path: Path) -> Case:
    folder = traced(path, ((ROWS,), {}), ((ROWS,), {"double": True}))
    outputs = {"rank": np.array(2, np.int32), "y": ROWS * 2}
    return Case(folder, {"x": ROWS}, outputs, None, "predict#2", "traced in forms that inputs do not tell apart")


# TensorFlow 1


def first_generation(path: Path, *, tags: Sequence[str], use_resource: bool, names: Sequence[str]) -> Case:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        weights = v1.get_variable("weights", initializer=WEIGHTS, use_resource=use_resource)
        y = tf.matmul(x, weights, name="y")
        session.run(v1.global_variables_initializer())
        expected = session.run(y, {x: ROWS})
        info = v1.saved_model.build_tensor_info
        definition = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict")
        builder = v1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["train"], {})
        builder.add_meta_graph(list(tags), dict.fromkeys(names, definition))
        builder.save()
    reason = "its name says so" if "serving_default" in names else "it is the only signature of the file"
    return Case(path, {"x": ROWS}, {"y": expected}, names[0], reason=reason)


@case
def first_with_reference_variables(path: Path) -> Case:
    return first_generation(path, tags=["serve"], use_resource=False, names=["serving_default"])


@case
def first_with_resource_variables(path: Path) -> Case:
    return first_generation(path, tags=["serve"], use_resource=True, names=["serving_default"])


@case
def first_with_another_signature(path: Path) -> Case:
    return first_generation(path, tags=["serve", "cpu"], use_resource=True, names=["score"])


@case
def simple_save(path: Path) -> Case:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.string, [None])
        y = tf.strings.upper(x)
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
    return Case(path, {"x": text(b"ab")}, {"y": text(b"AB")})


# Keras


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((4,), name="numbers"),
            keras.layers.Dropout(0.9),
            keras.layers.Dense(3, name="scores"),
        ]
    )


def two_by_two() -> Any:
    """Two inputs, and two outputs in a dict in a dict."""
    left, right = keras.Input((4,), name="right"), keras.Input((4,), name="left")
    first = keras.layers.Dense(2, name="first")(left)
    return keras.Model([left, right], {"sum": {"both": keras.layers.Add()([left, right])}, "first": first})


def two_by_list() -> Any:
    """Two inputs and a list of outputs, from layers with names."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right", dtype="int32")
    return keras.Model(
        [left, right],
        [keras.layers.Dense(2, name="wide")(left), keras.layers.Embedding(5, 3, name="vectors")(right)],
    )


def of_keras(path: Path, model: Any, inputs: Arrays, name_outputs: Callable[[Any], Mapping[str, Any]]) -> Case:
    values = list(inputs.values())
    answer = name_outputs(model(values if len(values) > 1 else values[0], training=False))
    return Case(path, inputs, {name: array(value) for name, value in answer.items()})


@case
def keras_export(path: Path) -> Case:
    model = sequential()
    model.export(path, verbose=False)
    return of_keras(path, model, {"numbers": ROWS}, lambda y: {"output_0": y})


@case
def keras_saved_model(path: Path) -> Case:
    model = sequential()
    tf.saved_model.save(model, str(path))
    return of_keras(path, model, {"inputs": ROWS}, lambda y: {"output_0": y})


def _file(path: Path, suffix: str, model: Any) -> Path:
    path.mkdir()
    file = path / f"model{suffix}"
    model.save(file)
    return file


@case
def keras_file(path: Path) -> Case:
    model = sequential()
    return of_keras(_file(path, ".keras", model), model, {"numbers": ROWS}, lambda y: {"scores": y})


@case
def keras_h5(path: Path) -> Case:
    model = sequential()
    return of_keras(_file(path, ".h5", model), model, {"numbers": ROWS}, lambda y: {"scores": y})


@case
def keras_file_with_nested_outputs(path: Path) -> Case:
    model = two_by_two()
    inputs = {"right": ROWS, "left": ROWS * 2}
    name = lambda y: {"first": y["first"], "sum_both": y["sum"]["both"]}  # noqa: E731
    return of_keras(_file(path, ".keras", model), model, inputs, name)


@case
def keras_file_with_a_list_of_outputs(path: Path) -> Case:
    model = two_by_list()
    inputs = {"left": ROWS, "right": np.array([[0, 1, 2, 3], [4, 3, 2, 1]], np.int32)}
    return of_keras(_file(path, ".h5", model), model, inputs, lambda y: {"wide": y[0], "vectors": y[1]})


@case
def keras_file_with_augmentation(path: Path) -> Case:
    layers = [keras.Input((4, 4, 1), name="image"), keras.layers.RandomFlip(), keras.layers.Dropout(0.5, name="out")]
    model = keras.Sequential(layers)
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    return of_keras(_file(path, ".keras", model), model, {"image": image}, lambda y: {"out": y})


@case
def keras_file_with_a_vocabulary(path: Path) -> Case:
    words = keras.Input((2,), dtype="string", name="words")
    model = keras.Model(words, keras.layers.StringLookup(vocabulary=["red", "blue"], name="ids")(words))
    sent = np.array([[b"blue", b"none"]], object)
    answer = model(tf.constant(sent))
    return Case(_file(path, ".keras", model), {"words": sent}, {"ids": array(answer)})


@case
def keras_file_built_by_a_call(path: Path) -> Case:
    model = keras.Sequential([keras.layers.Dense(2, name="out")], name="s")
    model(ROWS[:1])
    made = of_keras(_file(path, ".keras", model), model, {"input_layer": ROWS}, lambda y: {"out": y})
    made.inputs = {model.inputs[0]._keras_history.operation.name: ROWS}
    return made


@keras.saving.register_keras_serializable("mlbuffet-tests")
class Subclassed(keras.Model):
    """A model whose inputs only its build knows."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.dense = keras.layers.Dense(3)

    def call(self, x: Any) -> Any:
        return {"left": self.dense(x["a"]), "right": x["b"] * 2}


@case
def keras_subclass_file(path: Path) -> Case:
    model = Subclassed()
    inputs = {"a": ROWS, "b": ROWS[:, :2].copy()}
    answer = model(inputs)
    return Case(_file(path, ".keras", model), inputs, {name: array(value) for name, value in answer.items()})


@case
def keras_subclass_export(path: Path) -> Case:
    model = Subclassed()
    inputs = {"a": ROWS, "b": ROWS[:, :2].copy()}
    answer = model(inputs)
    model.export(path, verbose=False)
    named = dict(zip(("args_0", "args_0_1"), inputs.values(), strict=True))  # that is what Keras calls them
    return Case(path, named, {name: array(value) for name, value in answer.items()})


# Zips


def _zipped(made: Case, path: Path, root: Path) -> Case:
    """The artifact of ``made``, alone in a zip at ``path``, with its path from ``root`` on."""
    shutil.make_archive(str(path / "model"), "zip", root, made.path.relative_to(root))
    (shutil.rmtree if made.path.is_dir() else Path.unlink)(made.path)
    made.path = path / "model.zip"
    return made


@case
def zip_of_a_folder(path: Path) -> Case:
    path.mkdir()
    return _zipped(single_return(path / "sub"), path, path)


@case
def zip_without_a_folder(path: Path) -> Case:
    path.mkdir()
    made = table_from_a_file(path / "sub")
    shutil.make_archive(str(path / "model"), "zip", made.path)
    shutil.rmtree(made.path)
    made.path = path / "model.zip"
    return made


@case
def zip_of_a_keras_file(path: Path) -> Case:
    made = keras_file(path)
    return _zipped(made, path, path)


@case
def zip_of_an_asset(path: Path) -> Case:
    path.mkdir()
    return _zipped(asset(path / "sub"), path, path)
