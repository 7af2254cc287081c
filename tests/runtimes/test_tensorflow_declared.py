"""What a SignatureDef says of its tensors against what the graph has, and what the file calls them."""

# mypy: allow-untyped-calls

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidInput, LoadFailed, Model, Runtimes, TensorSpec
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

v1 = tf.compat.v1
FLOAT, STRING, INT8, REFERENCE = 1, 7, 6, 101
UNSAID = -1
"""A field that the file does not have."""


@pytest.fixture(scope="module")
def load() -> Callable[..., Model]:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return lambda path, **options: mlbuffet.load(path, runtimes=runtimes, options=options)


@pytest.fixture(scope="module")
def true_graph(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three signatures, one of each method; a tensor of any rank among the inputs, the others of two dimensions."""
    folder = tmp_path_factory.mktemp("true") / "model"
    with tf.Graph().as_default(), v1.Session() as session:
        text, any_rank = v1.placeholder(tf.string, [None], "text"), v1.placeholder(tf.float32, None, "any_rank")
        x = v1.placeholder(tf.float32, [None, 1], "x")
        score = tf.reshape(tf.cast(tf.strings.length(text), tf.float32), [-1, 1], "score")
        y, z = tf.add(x, 1, "y"), tf.add(any_rank, 2, "z")

        def definition(inputs: Any, outputs: Any, method: str) -> Any:
            sides = [
                {name: v1.saved_model.build_tensor_info(one) for name, one in side.items()}
                for side in (inputs, outputs)
            ]
            return v1.saved_model.build_signature_def(*sides, f"tensorflow/serving/{method}")

        definitions = {
            "predict": definition({"x": x, "any": any_rank}, {"y": y, "z": z}, "predict"),
            "classify": definition({"inputs": text}, {"scores": score}, "classify"),
            "regress": definition({"inputs": text}, {"outputs": score}, "regress"),
        }
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], definitions)
        builder.save()
    return (folder / "saved_model.pb").read_bytes()


@pytest.fixture
def edited(true_graph: bytes, tmp_path: Path) -> Callable[..., Path]:
    """The file with other signatures and the same graph; TensorFlow does not save it again."""

    def edit(change: Callable[[Any], None]) -> Path:
        message = saved_model_pb2.SavedModel.FromString(true_graph)
        change(message.meta_graphs[0].signature_def)
        (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
        return tmp_path

    return edit


def infos(signatures: Any) -> Iterator[Any]:
    for definition in signatures.values():
        yield from (*definition.inputs.values(), *definition.outputs.values())


def declare(dtype: int, *sizes: int, rank_is_unknown: bool = False) -> Callable[[Any], None]:
    """The same of every input and output."""

    def change(signatures: Any) -> None:
        for info in infos(signatures):
            info.ClearField("tensor_shape")
            info.dtype = dtype
            if sizes != (UNSAID,):
                info.tensor_shape.unknown_rank = rank_is_unknown
                for size in sizes:
                    info.tensor_shape.dim.add(size=size)

    return change


@pytest.mark.parametrize(
    "change",
    [
        declare(FLOAT, UNSAID),  # as TensorFlow Serving's own example of a regression has it
        declare(STRING),
        declare(0, UNSAID),
        declare(0, rank_is_unknown=True),
        declare(INT8),
        declare(REFERENCE, UNSAID),
        declare(4711, UNSAID),
    ],
)
def test_dtype_and_shape_are_the_graphs_whatever_a_signature_says(
    load: Callable[..., Model], edited: Callable[..., Path], change: Callable[[Any], None]
) -> None:
    with load(edited(change)) as model:
        assert list(model.signatures) == ["classify", "predict", "regress"]
        predict, text = model.signatures["predict"], TensorSpec("inputs", object, (None,))
        assert predict.inputs == {"x": TensorSpec("x", "f4", (None, 1)), "any": TensorSpec("any", "f4", None)}
        assert predict.outputs == {"y": TensorSpec("y", "f4", (None, 1)), "z": TensorSpec("z", "f4", None)}
        assert dict(model.signatures["classify"].inputs) == dict(model.signatures["regress"].inputs) == {"inputs": text}
        sent = {"inputs": np.array([b"ab", b"c"], object)}
        assert model.predict(sent, signature="regress")["outputs"].tolist() == [[2], [1]]
        assert model.predict(sent, signature="classify")["scores"].tolist() == [[2], [1]]
        values = {"x": np.ones((2, 1), np.float32), "any": np.float32(3)}
        assert model.predict(values, signature="predict")["z"] == 5


@pytest.mark.parametrize("sizes", [(7, 7), (3, 1), (5,), (-1, -1, -1)])
def test_a_shape_counts_only_where_the_graph_does_not_know_the_rank(
    load: Callable[..., Model], edited: Callable[..., Path], sizes: tuple[int, ...]
) -> None:
    declared = tuple(None if size < 0 else size for size in sizes)
    with load(edited(declare(FLOAT, *sizes))) as model:
        predict = model.signatures["predict"]
        assert {name: spec.shape for name, spec in predict.inputs.items()} == {"x": (None, 1), "any": declared}
        assert {name: spec.shape for name, spec in predict.outputs.items()} == {"y": (None, 1), "z": declared}
        with pytest.raises(InvalidInput, match="'any' has shape"):
            model.predict({"x": [[1]], "any": np.float32(3)}, signature="predict")


@pytest.mark.parametrize("name", ["gone:0", "gone", "y:1", "y:", "y:x", "^y", "", ":0", "a b:0"])
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_signature_whose_tensor_the_graph_lacks_is_left_out_with_its_name(
    load: Callable[..., Model],
    edited: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    name: str,
    side: str,
) -> None:
    def change(signatures: Any) -> None:
        (info,) = getattr(signatures["regress"], side).values()
        info.name = name

    with load(edited(change)) as model:
        assert list(model.signatures) == ["classify", "predict"]
    assert f"'regress': '{side}' is not in the graph, which has no tensor {name!r}; save the model again" in caplog.text


def test_a_file_whose_signatures_all_name_what_is_not_there_is_refused(
    load: Callable[..., Model], edited: Callable[..., Path]
) -> None:
    def change(signatures: Any) -> None:
        for info in infos(signatures):
            info.name = "gone:0"

    with pytest.raises(LoadFailed, match=r"none of its signatures can be served: 'classify': .* no tensor 'gone:0'"):
        load(edited(change))


# What the file calls its tensors


def wire_names(model: Model) -> dict[str, dict[str, str | None]]:
    """By signature; inputs and outputs together."""
    return {
        name: {spec.name: spec.wire_name for spec in (*signature.inputs.values(), *signature.outputs.values())}
        for name, signature in model.signatures.items()
    }


def names_in(path: Path) -> dict[str, dict[str, str | None]]:
    message = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return {
        name: {key: info.name for side in (one.inputs, one.outputs) for key, info in side.items()}
        for name, one in message.meta_graphs[0].signature_def.items()
        if name != "__saved_model_init_op"
    }


def test_tensors_of_tensorflow_1_have_the_names_of_the_file(
    load: Callable[..., Model], edited: Callable[..., Path]
) -> None:
    def change(signatures: Any) -> None:
        signatures["predict"].inputs["x"].name = "x"  # another way to write x:0

    with load(edited(change)) as model:
        assert wire_names(model) == {
            "classify": {"inputs": "text:0", "scores": "score:0"},
            "predict": {"x": "x", "any": "any_rank:0", "y": "y:0", "z": "z:0"},
            "regress": {"inputs": "text:0", "outputs": "score:0"},
        }


def save_functions(path: Path) -> None:
    double = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec([None])], autograph=False)
    tf.saved_model.save(tf.Module(), str(path), signatures={"serving_default": double, "other": double})


def network() -> Any:
    return keras.Sequential([keras.Input((2,), name="numbers"), keras.layers.Dense(1, name="score")])


@pytest.mark.parametrize(
    "save",
    [
        save_functions,
        lambda path: network().export(path, verbose=False),
        lambda path: tf.saved_model.save(network(), str(path)),  # which is saved again before it runs
    ],
)
def test_tensors_of_tensorflow_2_have_the_names_of_the_file_that_was_given(
    load: Callable[..., Model], tmp_path: Path, save: Callable[[Path], None]
) -> None:
    save(tmp_path / "model")
    with load(tmp_path / "model") as model:
        names = wire_names(model)
        assert names == names_in(tmp_path / "model")
        assert "PartitionedCall" in str(names["serving_default"])


def test_what_is_no_signature_in_the_file_has_no_name_there(load: Callable[..., Model], tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    module = tf.Module()
    for name in ("one", "two"):
        setattr(module, name, tf.function(lambda x: x, input_signature=[tf.TensorSpec([])], autograph=False))
    tf.saved_model.save(module, str(tmp_path / "functions"))
    for path in (tmp_path / "model.keras", tmp_path / "functions"):
        with load(path) as model:
            assert {name for names in wire_names(model).values() for name in names.values()} == {None}


def test_a_signature_that_is_left_out_is_so_in_a_model_that_is_saved_again(
    load: Callable[..., Model], tmp_path: Path
) -> None:
    model = network()
    sparse = tf.function(
        lambda x: {"y": tf.sparse.from_dense(model(x))}, input_signature=[tf.TensorSpec([None, 2])], autograph=False
    )
    dense = tf.function(lambda x: {"y": model(x)}, input_signature=[tf.TensorSpec([None, 2])], autograph=False)
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": sparse, "dense": dense})
    with load(tmp_path / "model") as served:
        assert list(served.signatures) == ["dense"]
        assert served.signatures.default is None
        x = np.ones((1, 2), np.float32)
        np.testing.assert_allclose(served.predict({"x": x}, signature="dense")["y"], model(x), rtol=1e-6)
