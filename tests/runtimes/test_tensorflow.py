import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import mlbuffet
from mlbuffet import InvalidInput, Model, Runtimes
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

Load = Callable[..., Model]
ROW = np.array([[1, 2, 3, 4]], np.float32)
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture(scope="module")
def load() -> Load:
    """Load a SavedModel as a program does that has no other runtime."""
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return lambda path, **options: mlbuffet.load(path, runtimes=runtimes, options=options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new folder to save a model in, at each call."""
    return lambda: tmp_path_factory.mktemp("saved") / "model"


def spec(shape: Sequence[int | None] | None, dtype: Any = "float32", name: str | None = None) -> Any:
    return tf.TensorSpec(shape, dtype, name=name)


def function(call: Callable[..., Any], *specs: Any) -> Any:
    return tf.function(call, input_signature=specs, autograph=False)


def save(path: Path, signatures: Mapping[str, Any], **attributes: Any) -> Path:
    """Save a module that has ``attributes``, with functions as its signatures."""
    module = tf.Module()
    for name, attribute in (*attributes.items(), ("functions", list(signatures.values()))):
        setattr(module, name, attribute)
    tf.saved_model.save(module, str(path), signatures=dict(signatures))
    return path


def objects(*items: bytes) -> NDArray[Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def aligned(size: int) -> NDArray[np.float32]:
    """An array whose memory TensorFlow takes as it is, without a copy."""
    memory = np.zeros(size * 4 + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * 4].view(np.float32)


# Signatures: which there are, their order and their default


@pytest.mark.parametrize(
    ("names", "default"),
    [
        (["serving_default"], "serving_default"),
        (["serving_default", "embed"], "serving_default"),
        (["serve", "serving_default"], "serving_default"),
        (["embed"], "embed"),
        (["embed", "score"], None),
        (["", "a/b c", "serving_default"], "serving_default"),
    ],
)
def test_every_signature_answers_by_its_name(
    load: Load, folder: Callable[[], Path], names: list[str], default: str | None
) -> None:
    signatures = {
        name: function(lambda x, n=number: {"y": x + n}, spec([None, 4])) for number, name in enumerate(names)
    }
    with load(save(folder(), signatures)) as model:
        assert sorted(model.signatures) == sorted(names)
        assert model.signatures.default == default
        for number, name in enumerate(names):
            np.testing.assert_array_equal(model.predict({"x": ROW}, signature=name)["y"], ROW + number)


def test_the_option_signature_names_the_default(load: Load, folder: Callable[[], Path]) -> None:
    path = save(folder(), {name: function(lambda x: {"y": x}, spec([None])) for name in ("embed", "serving_default")})
    with load(path, signature="embed") as model:
        assert model.signatures.default == "embed"


def test_inputs_come_in_the_order_in_which_the_function_takes_them(load: Load, folder: Callable[[], Path]) -> None:
    call = function(
        lambda z, d, a: {"q": z - a + d["k"] - d["j"]},
        spec([]),
        {"k": spec([]), "j": spec([])},
        spec([], name="A"),
    )
    with load(save(folder(), {"serving_default": call})) as model:
        inputs = model.signatures["serving_default"].inputs
        assert list(inputs) == ["z", "d", "d_1", "A"]
        values = dict(zip(inputs, (np.float32(8), np.float32(1), np.float32(5), np.float32(2)), strict=True))
        assert model.predict(values)["q"] == 8 - 2 + 5 - 1  # nested inputs are flattened with their keys sorted


def test_a_tuple_of_twelve_outputs_keeps_its_order(load: Load, folder: Callable[[], Path]) -> None:
    call = function(lambda x: tuple(x + number for number in range(12)), spec([]))
    with load(save(folder(), {"serving_default": call})) as model:
        outputs = model.predict({"x": np.float32(0)})
        assert list(outputs) == [f"output_{number}" for number in range(12)]
        assert [float(value) for value in outputs.values()] == list(range(12))


# Values: dtypes, shapes, and whose memory they are


@pytest.mark.parametrize(
    "dtype",
    [
        *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64, np.complex64, np.complex128),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4, ml_dtypes.uint4),
    ],
)
def test_every_dtype_goes_through_unchanged_at_every_rank(
    load: Load, folder: Callable[[], Path], dtype: type[Any]
) -> None:
    same = function(lambda x: {"y": tf.identity(x)}, spec(None, dtype))
    with load(save(folder(), {"serving_default": same})) as model:
        declared = model.signatures["serving_default"]
        assert declared.inputs["x"].dtype == declared.outputs["y"].dtype == np.dtype(dtype)
        assert declared.inputs["x"].shape is None
        for shape in ((), (0, 2), (3,), (2, 1, 2)):
            sent = np.ones(shape, dtype)
            came = model.predict({"x": sent})["y"]
            assert (came.dtype, came.shape, came.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


@pytest.mark.parametrize("sent", [objects(b"a\0b", b"\xff", b""), objects(), np.array(b"alone", object)])
def test_text_goes_through_as_bytes(load: Load, folder: Callable[[], Path], sent: NDArray[Any]) -> None:
    doubled = function(lambda x: {"y": x + x, "same": x}, spec(None, tf.string))
    with load(save(folder(), {"serving_default": doubled})) as model:
        came = model.predict({"x": sent})
        assert came["y"].dtype == came["same"].dtype == object
        assert came["y"].tolist() == np.asarray(sent + sent).tolist()
        assert came["same"].tolist() == sent.tolist()


def test_a_signature_without_inputs_answers_and_its_scalars_are_arrays(load: Load, folder: Callable[[], Path]) -> None:
    call = function(
        lambda: {
            "number": tf.constant(2.5),
            "text": tf.constant(b"hello"),
            "flag": tf.constant(value=True),
            "brain": tf.constant(1.5, tf.bfloat16),
        }
    )
    with load(save(folder(), {"serving_default": call})) as model:
        declared = model.signatures["serving_default"]
        outputs = model.predict({})
        assert not declared.inputs
        assert {name: (value.dtype, value.shape, value.item()) for name, value in outputs.items()} == {
            "number": (np.dtype("float32"), (), 2.5),
            "text": (np.dtype(object), (), b"hello"),
            "flag": (np.dtype(bool), (), True),
            "brain": (np.dtype(ml_dtypes.bfloat16), (), 1.5),
        }
        assert all(output.shape == () for output in declared.outputs.values())


def test_shapes_are_declared_as_the_file_declares_them(load: Load, folder: Callable[[], Path]) -> None:
    call = function(lambda a, b, c: {"y": a, "n": tf.size(b), "r": c}, spec([None, 3]), spec(None), spec([]))
    with load(save(folder(), {"serving_default": call})) as model:
        declared = model.signatures["serving_default"]
        assert {name: each.shape for name, each in declared.inputs.items()} == {"a": (None, 3), "b": None, "c": ()}
        assert {name: each.shape for name, each in declared.outputs.items()} == {"n": (), "r": (), "y": (None, 3)}


def test_an_output_that_is_an_input_or_another_output_has_memory_of_its_own(
    load: Load, folder: Callable[[], Path]
) -> None:
    call = function(lambda x, unused: {"same": x, "twin": x, "more": x + 1}, spec([None]), spec([]))
    with load(save(folder(), {"serving_default": call})) as model:
        x, unused = aligned(1000), np.float32(0)
        outputs = model.predict({"x": x, "unused": unused})
        memories = [x, *outputs.values()]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(memories) for b in memories[:i])
        for output in outputs.values():
            output += 1
        assert not x.any()
        np.testing.assert_array_equal(model.predict({"x": x, "unused": unused})["more"], x + 1)


def test_a_caller_cannot_reach_a_models_variables_through_what_it_sends_or_gets(
    load: Load, folder: Callable[[], Path]
) -> None:
    state = tf.Variable(tf.zeros([1000]))

    def put(x: Any) -> dict[str, Any]:
        state.assign(x)
        return {"y": tf.reduce_sum(x)}

    def put_if(flag: Any, x: Any) -> dict[str, Any]:
        return {"y": tf.cond(flag, lambda: state.assign(x).read_value(), state.read_value)}

    functions = {
        "put": function(put, spec([1000])),
        "put_if": function(put_if, spec([], tf.bool), spec([1000])),
        "get": function(lambda: {"y": state.read_value()}),
    }
    with load(save(folder(), functions, state=state)) as model:
        for signature, more in (("put", {}), ("put_if", {"flag": np.True_})):
            x = aligned(1000)
            x[:] = 1
            model.predict({"x": x, **more}, signature=signature)
            x[:] = 2
            model.predict({}, signature="get")["y"][:] = 3
            assert set(model.predict({}, signature="get")["y"]) == {1}


def test_models_whose_variables_have_one_name_do_not_share_them(load: Load, folder: Callable[[], Path]) -> None:
    paths = []
    for value in (1.0, 2.0):
        variable = tf.Variable(value, name="weight")
        adding = function(partial(lambda state: {"y": state.assign_add(10.0)}, variable))
        paths.append(save(folder(), {"serving_default": adding}, variable=variable))
    with load(paths[0]) as one, load(paths[1]) as two, load(paths[0]) as again:
        answers = [float(model.predict({})["y"]) for model in (one, two, one, again)]
        assert answers == [11, 12, 21, 11]


# Formats: Keras, TensorFlow 1, tables and files


@pytest.fixture(scope="module")
def keras_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import keras

    vocabulary = tmp_path_factory.mktemp("vocabulary") / "colours.txt"
    vocabulary.write_text("red\ngreen\n")
    table = keras.layers.StringLookup(vocabulary=str(vocabulary), name="table")
    colour = keras.Input((1,), dtype="string", name="zebra_colour")
    number = keras.Input((4,), name="ant_number")
    hidden = keras.layers.Concatenate()([number, keras.ops.cast(table(colour), "float32")])
    first = keras.layers.Dense(3, name="first")(hidden)
    return keras.Model([colour, number], {"first": first, "both": keras.layers.BatchNormalization()(first)})


@pytest.mark.parametrize(
    ("saved_with", "names"),
    [("export", ["zebra_colour", "ant_number"]), ("tf.saved_model.save", ["inputs", "inputs_1"])],
)
def test_a_keras_model_answers_as_it_did_before_it_was_saved(
    load: Load, folder: Callable[[], Path], keras_model: Any, saved_with: str, names: list[str]
) -> None:
    path = folder()
    if saved_with == "export":
        keras_model.export(path, verbose=False)
    else:
        tf.saved_model.save(keras_model, str(path))
    colours = np.array([[b"green"], [b"blue"]], object)
    numbers = np.array([[1, 2, 3, 4], [0, 0, 1, 0]], np.float32)
    expected = keras_model([tf.constant(colours), tf.constant(numbers)], training=False)
    with load(path) as model:
        assert model.signatures.default == "serving_default"
        assert list(model.signatures["serving_default"].inputs) == names
        outputs = model.predict(dict(zip(names, (colours, numbers), strict=True)))
        assert sorted(outputs) == sorted(expected)
        for name, output in outputs.items():
            np.testing.assert_allclose(output, expected[name].numpy(), rtol=1e-5)


def test_a_keras_model_that_had_to_be_saved_again_leaves_no_files_once_it_is_closed(
    load: Load, folder: Callable[[], Path], keras_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = folder()
    tf.saved_model.save(keras_model, str(path))
    model = load(path)
    assert len(list(tmp_path.glob("mlbuffet-*"))) == 1  # the model has a vocabulary, which it might read again
    model.close()
    assert not list(tmp_path.glob("mlbuffet-*"))


def test_a_keras_model_without_files_of_its_own_leaves_no_copy_when_it_is_loaded(
    load: Load, folder: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keras_model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    path = folder()
    tf.saved_model.save(keras_model, str(path))
    with load(path) as model:
        assert not list(tmp_path.glob("mlbuffet-*"))
        np.testing.assert_allclose(model.predict({"inputs": ROW})["output_0"], keras_model(ROW).numpy(), rtol=1e-5)


@pytest.fixture(scope="module")
def vocabulary_model(folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table filled from a file, a table with entries of its own, and a file read at each call."""
    file = tmp_path_factory.mktemp("vocabulary") / "words.txt"
    file.write_text("red\ngreen\n")
    initializer = tf.lookup.TextFileInitializer(
        str(file), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    table = tf.lookup.StaticHashTable(initializer, -1)
    mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    mutable.insert(tf.constant(["red"]), tf.constant([7], tf.int64))
    asset = tf.saved_model.Asset(str(file))
    lookup = function(
        lambda word: {
            "id": table.lookup(word),
            "other": mutable.lookup(word),
            "file": tf.io.read_file(asset.asset_path),
        },
        spec([None], tf.string),
    )
    path = save(folder(), {"serving_default": lookup}, table=table, mutable=mutable, asset=asset)
    file.unlink()
    return path


def test_tables_and_asset_files_are_there_after_loading(load: Load, vocabulary_model: Path) -> None:
    with load(vocabulary_model) as model:
        outputs = model.predict({"word": objects(b"green", b"red", b"blue")})
        assert outputs["id"].tolist() == [1, 0, -1]
        assert outputs["other"].tolist() == [-1, 7, -1]
        assert outputs["file"].item() == b"red\ngreen\n"


@pytest.fixture(scope="module")
def first_generation(folder: Callable[[], Path]) -> Path:
    """A model of TensorFlow 1: reference variables, serialized examples, three methods, two graphs."""
    v1, path = tf.compat.v1, folder()
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="examples")
        features = v1.io.parse_example(examples, {"x": v1.io.FixedLenFeature([4], tf.float32)})["x"]
        raw = v1.placeholder(tf.float32, [None, 4], name="raw")
        weights = v1.get_variable("weights", initializer=WEIGHTS, use_resource=False)
        assert weights.op.type == "VariableV2"
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info

        def signature(inputs: Mapping[str, Any], outputs: Mapping[str, Any], method: str) -> Any:
            return v1.saved_model.build_signature_def(
                {name: info(tensor) for name, tensor in inputs.items()},
                {name: info(tensor) for name, tensor in outputs.items()},
                f"tensorflow/serving/{method}",
            )

        scores = tf.matmul(features, weights)
        classes = tf.as_string(tf.range(3))
        signatures = {
            "serving_default": signature({"inputs": examples}, {"scores": scores, "classes": classes}, "classify"),
            "regress": signature({"inputs": examples}, {"outputs": tf.reduce_sum(scores, axis=1)}, "regress"),
            "predict": signature({"raw": raw}, {"scores": tf.matmul(raw, weights), "raw": raw}, "predict"),
            "echo": signature({"raw": raw}, {"raw": raw, "again": raw}, "predict"),
            "inside": signature({"features": features}, {"scores": scores}, "predict"),
        }
        builder = v1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["train"], {"loss": signatures["predict"]})
        builder.add_meta_graph(["serve", "gpu"], {"on_gpu": signatures["predict"]})
        builder.add_meta_graph(["serve"], signatures)
        builder.save(as_text=True)
    return path


def example(**features: Sequence[float]) -> bytes:
    lists = {name: tf.train.Feature(float_list=tf.train.FloatList(value=values)) for name, values in features.items()}
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()
    return serialized


def test_a_model_of_tensorflow_1_is_served_from_its_graph_tagged_serve(load: Load, first_generation: Path) -> None:
    with load(first_generation) as model:
        methods = {name: signature.method for name, signature in model.signatures.items()}
        assert methods == {
            "echo": "predict",
            "inside": "predict",
            "predict": "predict",
            "regress": "regress",
            "serving_default": "classify",
        }
        examples = objects(example(x=[1, 2, 3, 4]), example(x=[0, 0, 0, 1]))
        expected = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], np.float32) @ WEIGHTS
        np.testing.assert_allclose(model.predict({"inputs": examples})["scores"], expected)
        np.testing.assert_allclose(
            model.predict({"inputs": examples}, signature="regress")["outputs"], expected.sum(axis=1)
        )
        assert model.predict({"inputs": examples})["classes"].tolist() == [b"0", b"1", b"2"]
        np.testing.assert_allclose(model.predict({"features": ROW}, signature="inside")["scores"], ROW @ WEIGHTS)


def test_an_output_that_is_the_very_tensor_of_an_input_is_a_copy_of_what_was_sent(
    load: Load, first_generation: Path
) -> None:
    with load(first_generation) as model:
        for signature, others in (("predict", {"scores"}), ("echo", {"again"})):
            outputs = model.predict({"raw": ROW}, signature=signature)
            assert set(outputs) == {"raw", *others}
            np.testing.assert_array_equal(outputs["raw"], ROW)
            assert not np.shares_memory(outputs["raw"], ROW)


@pytest.mark.parametrize(("tags", "signature"), [(["train"], "loss"), (["gpu", "serve"], "on_gpu")])
def test_tags_choose_another_graph(load: Load, first_generation: Path, tags: list[str], signature: str) -> None:
    with load(first_generation, tags=tags) as model:
        assert list(model.signatures) == [signature]
        np.testing.assert_allclose(model.predict({"raw": ROW})["scores"], ROW @ WEIGHTS)


def test_the_parts_of_a_ragged_input_are_inputs(load: Load, folder: Callable[[], Path]) -> None:
    lengths = function(lambda x: {"y": x.row_lengths()}, tf.RaggedTensorSpec([None, None], tf.float32))
    with load(save(folder(), {"serving_default": lengths})) as model:
        splits = np.array([0, 1, 1, 4], np.int64)
        outputs = model.predict({"x": ROW[0], "x_1": splits})
        assert outputs["y"].tolist() == [1, 0, 3]


def test_signatures_that_arrays_cannot_express_are_left_out_and_named_in_the_log(
    load: Load, folder: Callable[[], Path], caplog: pytest.LogCaptureFixture
) -> None:
    functions = {
        "serving_default": function(lambda x: {"y": tf.RaggedTensor.from_row_lengths(x, [1, 3])}, spec([4])),
        "dense": function(lambda x: {"y": x}, spec([4])),
    }
    with load(save(folder(), functions)) as model:
        assert list(model.signatures) == ["dense"]
        assert model.signatures.default is None  # another function does not answer in the name of serving_default
    assert "'serving_default': 'y' is a ragged or other composite tensor" in caplog.text


# Calls: options, threads, and the caller's mistakes


@pytest.mark.parametrize("options", [{"intra_op_threads": 1}, {"inter_op_threads": 2}])
def test_threads_do_not_change_the_answer(load: Load, folder: Callable[[], Path], options: dict[str, int]) -> None:
    call = function(lambda x: {"y": x @ WEIGHTS}, spec([None, 4]))
    with load(save(folder(), {"serving_default": call}), **options) as model:
        np.testing.assert_allclose(model.predict({"x": ROW})["y"], ROW @ WEIGHTS)


def test_eight_threads_that_call_a_signature_for_the_first_time_get_right_answers(
    load: Load, folder: Callable[[], Path]
) -> None:
    functions = {name: function(lambda x: {"y": x * 2}, spec([None])) for name in ("one", "two")}
    start, wrong = threading.Barrier(8), list[int]()

    def call(number: int) -> None:
        start.wait()
        for _ in range(50):
            if model.predict({"x": np.full(3, number, np.float32)}, signature="one")["y"].tolist() != [number * 2] * 3:
                wrong.append(number)

    with load(save(folder(), functions)) as model:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_other_threads_run_during_a_call(load: Load, folder: Callable[[], Path]) -> None:
    slow = function(
        lambda n: {"y": tf.while_loop(lambda i: i < n, lambda i: [i + 1], [tf.constant(0)])[0]}, spec([], tf.int32)
    )
    with load(save(folder(), {"serving_default": slow})) as model:
        caller = threading.Thread(target=model.predict, args=({"n": np.int32(50_000)},))
        caller.start()
        woken = 0
        while caller.is_alive():
            time.sleep(0.001)
            woken += 1
    assert woken > 20


@pytest.mark.parametrize(
    ("call", "specs", "inputs", "problem"),
    [
        (lambda x, y: x + y, [[None], [None]], [ROW[0], ROW[0, :3]], "met [4] where [3] does not go with it"),
        (lambda x: x @ WEIGHTS, [None], [ROW[:, :3]], "met [1,3] where [4,3] does not go with it"),
        (lambda x, y: tf.concat([x, y], 0), [None, None], [ROW, ROW[:, :2]], "met [1,4] where [1,2] does not go"),
        (lambda x: tf.reshape(x, [2, 2]), [[None]], [ROW[0, :3]], "do not fit each other or the model"),
        (lambda x: tf.gather([1, 2], tf.cast(x, tf.int32)), [[None]], [ROW[0]], "2 is not in [0, 2)"),
        (lambda x: tf.debugging.Assert(x < 0, ["below", x]) and x, [[]], [np.float32(8)], "model itself checks: below"),
    ],
)
def test_numbers_that_the_model_cannot_take_are_the_callers_mistake(
    load: Load,
    folder: Callable[[], Path],
    call: Callable[..., Any],
    specs: list[Any],
    inputs: list[Any],
    problem: str,
) -> None:
    names = ["x", "y"][: len(inputs)]
    serving = function(call, *map(spec, specs))
    with load(save(folder(), {"serving_default": serving})) as model, pytest.raises(InvalidInput) as refused:
        model.predict(dict(zip(names, inputs, strict=True)))
    assert problem in refused.value.public
    assert "8" not in refused.value.public


@pytest.mark.parametrize(
    ("call", "sent", "problem"),
    [
        (lambda x: tf.strings.to_number(x), b"ten", "not the number"),
        (lambda x: tf.io.decode_base64(x), b"*", "not base64"),
        (lambda x: tf.io.decode_jpeg(x), b"no image", "cannot be decoded"),
        (lambda x: tf.io.decode_image(x), b"no image", "cannot be decoded"),
        (lambda x: tf.io.parse_single_example(x, {"f": tf.io.FixedLenFeature([], tf.float32)}), b"\1", "tf.Example"),
    ],
)
def test_text_that_the_model_cannot_read_is_the_callers_mistake(
    load: Load, folder: Callable[[], Path], call: Callable[[Any], Any], sent: bytes, problem: str
) -> None:
    serving = function(call, spec([], tf.string))
    with load(save(folder(), {"serving_default": serving})) as model, pytest.raises(InvalidInput, match=problem):
        model.predict({"x": sent})


@pytest.mark.parametrize("features", [{"y": [1, 2, 3, 4]}, {"x": [1, 2]}])
def test_an_example_without_the_feature_that_the_model_needs_is_the_callers_mistake(
    load: Load, first_generation: Path, features: dict[str, list[float]]
) -> None:
    with load(first_generation) as model, pytest.raises(InvalidInput, match=r"tf\.Example"):
        model.predict({"inputs": objects(example(**features))})


def test_a_failure_that_is_not_the_callers_is_a_failed_prediction(load: Load, folder: Callable[[], Path]) -> None:
    reading = function(lambda x: {"y": tf.io.read_file(x)}, spec([], tf.string))
    unfit = function(lambda x: {"y": tf.linalg.inv(x)}, spec([None, None]))
    with load(save(folder(), {"read": reading, "invert": unfit})) as model:
        with pytest.raises(mlbuffet.PredictFailed, match="NotFoundError"):
            model.predict({"x": b"/nowhere"}, signature="read")
        with pytest.raises(mlbuffet.PredictFailed, match="InvalidArgumentError"):
            model.predict({"x": np.zeros((2, 2), np.float32)}, signature="invert")
