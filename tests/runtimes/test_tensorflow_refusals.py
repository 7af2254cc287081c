import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed, Runtimes
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime

v1 = tf.compat.v1


@pytest.fixture(scope="module")
def runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return runtimes


@pytest.fixture
def refusal(runtimes: Runtimes) -> Callable[..., LoadFailed]:
    """How loading a path is refused; what clients are told holds no path and no text of TensorFlow's."""

    def refused(path: Path, **options: Any) -> LoadFailed:
        with pytest.raises(LoadFailed) as caught:
            mlbuffet.load(path, runtime="tensorflow", options=options, runtimes=runtimes)
        assert str(path) not in caught.value.public
        assert "[[{{node" not in caught.value.public
        return caught.value

    return refused


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weights, and a table filled from a file."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "words.txt").write_text("red\n")
    initializer = tf.lookup.TextFileInitializer(
        str(folder / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, -1
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    module.weight = tf.Variable(tf.ones([100]))
    module.call = tf.function(
        lambda x: {"y": tf.cast(module.table.lookup(x), tf.float32) + tf.math.softmax(module.weight)},
        input_signature=[tf.TensorSpec([1], tf.string)],
        autograph=False,
    )
    tf.saved_model.save(module, str(folder / "model"))
    (folder / "words.txt").unlink()
    return folder / "model"


@pytest.fixture
def copied(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "model")


# Which paths are SavedModels


@pytest.mark.parametrize("start", [b"\x08\x01\x12\x05", b"\x12\x05"])
def test_a_folder_with_a_binary_saved_model_is_accepted(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(start)
    assert TensorFlowRuntime().accepts(tmp_path) is True


@pytest.mark.parametrize("start", ["saved_model_schema_version: 1\n", "\n meta_graphs {", "# made by hand\n"])
def test_a_folder_with_a_saved_model_as_text_is_accepted(tmp_path: Path, start: str) -> None:
    (tmp_path / "saved_model.pbtxt").write_text(start)
    assert TensorFlowRuntime().accepts(tmp_path) is True


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("saved_model.pb", b""),
        ("saved_model.pb", b"version https://git-lfs.github.com/spec/v1\n"),
        ("saved_model.pb", b" \x08\x01"),
        ("saved_model.pbtxt", b"node {"),
        ("model.pb", b"\x08\x01"),
    ],
)
def test_a_folder_with_another_file_is_not_accepted(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert TensorFlowRuntime().accepts(tmp_path) is False


def test_what_is_no_folder_with_a_file_is_not_accepted(tmp_path: Path, good: Path) -> None:
    (tmp_path / "saved_model.pb").mkdir()
    for path in (tmp_path, good / "saved_model.pb", tmp_path / "nothing", tmp_path / "a\0b"):
        assert TensorFlowRuntime().accepts(path) is False


# Options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"threads": 1}, "threads"),
        ({"intra_op_threads": -1}, "intra_op_threads"),
        ({"inter_op_threads": "2"}, "inter_op_threads"),
        ({"tags": "serve"}, "tags"),
        ({"device": "abacus"}, "there is no device 'abacus' here; there are: cpu:0"),
        ({"xla": "yes"}, "xla"),
        ({"gpu_memory_growth": 1}, "gpu_memory_growth"),
        ({"tags": ["gpu"]}, r"no graph of the file is tagged \['gpu'\]; the tags are \['serve'\]"),
        ({"signature": "embed"}, "there is no signature 'embed'; the model has: serving_default"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_with_those_that_there_are(
    runtimes: Runtimes, good: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidOptions, match=problem) as refused:
        mlbuffet.load(good, options=options, runtimes=runtimes)
    assert refused.value.valid == (
        *("signature", "tags", "intra_op_threads", "inter_op_threads"),
        *("device", "gpu_memory_growth", "xla", "imports"),
    )


# Files that are damaged, incomplete or ahead of this TensorFlow


def _remove(name: str) -> Callable[[Path], Any]:
    def remove(path: Path) -> None:
        for file in path.glob(name):
            file.unlink()

    return remove


def _truncate(name: str, size: int) -> Callable[[Path], Any]:
    return lambda path: [file.write_bytes(file.read_bytes()[:size]) for file in path.glob(name)]


def _rename_operation(path: Path) -> None:
    content = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(content.replace(b"Softmax", b"Sofamax"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate("saved_model.pb", 0), "whose saved_model.pb is empty or damaged"),
        (_truncate("saved_model.pb", 2), "holds no graph"),
        (_truncate("saved_model.pb", 3000), "damaged or cut short; copy or save the model again"),
        (_remove("saved_model.pb"), "a SavedModel without its file saved_model.pb"),
        (lambda path: shutil.rmtree(path / "variables"), "the weights are missing"),
        (_remove("variables/variables.index"), "the weights are missing"),
        (_remove("variables/variables.data*"), "the weights are missing"),
        (_truncate("variables/variables.data*", 10), "the weights in its folder variables/ are damaged"),
        (_truncate("variables/variables.index", 100), "the weights in its folder variables/ are damaged"),
        (_remove("assets/words.txt"), "a file that it reads from its folder assets/ is missing"),
        (_rename_operation, f"needs the operation 'Sofamax', which TensorFlow {tf.__version__} does not have"),
    ],
)
def test_a_damaged_copy_is_refused_with_the_cause(
    refusal: Callable[[Path], LoadFailed], copied: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    damage(copied)
    assert reason in refusal(copied).public


def test_text_that_is_not_a_saved_model_is_refused(refusal: Callable[[Path], LoadFailed], tmp_path: Path) -> None:
    (tmp_path / "saved_model.pbtxt").write_text("meta_graphs { nonsense")
    assert "damaged or cut short" in refusal(tmp_path).public


def test_a_file_instead_of_the_folder_is_refused(refusal: Callable[[Path], LoadFailed], good: Path) -> None:
    assert "give the folder" in refusal(good / "saved_model.pb").public


def test_what_no_rule_explains_is_refused_with_tensorflows_text_for_the_log_alone(
    refusal: Callable[[Path], LoadFailed], copied: Path
) -> None:
    content = saved_model_pb2.SavedModel.FromString((copied / "saved_model.pb").read_bytes())
    content.meta_graphs[0].graph_def.node[0].device = "/device:what/is/this"
    (copied / "saved_model.pb").write_bytes(content.SerializeToString())
    failed = refusal(copied)
    assert "/device:what" in str(failed)
    assert "/device:what" not in failed.public


# Files without anything to serve


def _undecorated(module: Any) -> None:
    module.weight = tf.Variable(1.0)


def _never_traced(module: Any) -> None:
    module.predict = tf.function(lambda x: x, autograph=False)


def _of_a_part(module: Any) -> None:
    module.encoder = tf.Module()
    module.encoder.embed = tf.function(lambda x: x, [tf.TensorSpec([None], tf.float32)], autograph=False)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_of_a_part, "its functions are those of its parts (encoder); save such a part itself"),
        (_undecorated, "make it `class Model(tf.Module):`, call `super().__init__()`"),
        (_never_traced, r"(predict) were never called and say nothing of their inputs"),
    ],
)
def test_a_module_without_signatures_is_refused_with_the_way_to_save_it(
    refusal: Callable[[Path], LoadFailed], tmp_path: Path, build: Callable[[Any], None], reason: str
) -> None:
    module = tf.Module()
    build(module)
    tf.saved_model.save(module, str(tmp_path / "model"))
    assert reason in refusal(tmp_path / "model").public


# Graphs of TensorFlow 1 that do not come to an answer


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """In a graph and a session: save signatures, which are pairs of dicts of tensors."""
    with tf.Graph().as_default(), v1.Session() as session:

        def save(tags: list[list[str]], **signatures: tuple[dict[str, Any], dict[str, Any]]) -> Path:
            definitions = {
                name: v1.saved_model.build_signature_def(*({k: _info(t) for k, t in side.items()} for side in sides))
                for name, sides in signatures.items()
            }
            builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "model"))
            saver = v1.train.Saver(v1.global_variables()[:1]) if v1.global_variables() else None
            session.run(v1.global_variables_initializer())
            builder.add_meta_graph_and_variables(session, tags[0], definitions, saver=saver)
            for more in tags[1:]:
                builder.add_meta_graph(more, definitions, saver=saver)
            builder.save()
            return tmp_path / "model"

        yield save


def _info(tensor: Any) -> Any:
    return v1.saved_model.build_tensor_info(tensor)


def test_a_graph_without_signatures_is_refused_with_the_way_to_save_it(
    refusal: Callable[[Path], LoadFailed], graph: Callable[..., Path]
) -> None:
    tf.constant(1.0)
    assert "signature_def_map" in refusal(graph([["serve"]])).public


def test_several_graphs_of_which_none_is_tagged_serve_are_refused_with_their_tags(
    refusal: Callable[[Path], LoadFailed], graph: Callable[..., Path]
) -> None:
    path = graph([["train"], ["eval", "cpu"]], loss=({}, {"y": tf.constant(1.0)}))
    assert "tagged ['train'] and ['cpu', 'eval'], and none is the one to serve" in refusal(path).public


def test_a_single_graph_is_served_whatever_its_tags(runtimes: Runtimes, graph: Callable[..., Path]) -> None:
    with mlbuffet.load(graph([["train"]], loss=({}, {"y": tf.constant(1.0)})), runtimes=runtimes) as model:
        assert model.predict({})["y"] == 1


def test_a_variable_that_was_not_saved_is_refused_by_its_name(
    refusal: Callable[[Path], LoadFailed], graph: Callable[..., Path]
) -> None:
    kept, forgotten = (v1.get_variable(name, [2], use_resource=False) for name in ("kept", "forgotten"))
    path = graph([["serve"]], serving_default=({}, {"y": kept + forgotten}))
    assert "no value for 1 of the variables that its signatures use, among them 'forgotten'" in refusal(path).public


def test_a_variable_that_no_signature_needs_need_not_be_saved(runtimes: Runtimes, graph: Callable[..., Path]) -> None:
    kept, _forgotten = (v1.get_variable(name, [2], use_resource=False) for name in ("kept", "forgotten"))
    with mlbuffet.load(graph([["serve"]], serving_default=({}, {"y": kept})), runtimes=runtimes) as model:
        assert model.predict({})["y"].shape == (2,)


def _resource() -> tuple[dict[str, Any], dict[str, Any]]:
    return {"x": v1.placeholder(tf.float32)}, {"y": tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])}


def _quantized() -> tuple[dict[str, Any], dict[str, Any]]:
    return {"x": v1.placeholder(tf.quint8)}, {"y": tf.constant(1)}


def _sparse() -> tuple[dict[str, Any], dict[str, Any]]:
    return {"x": v1.sparse_placeholder(tf.float32)}, {"y": tf.constant(1)}


def _nothing_out() -> tuple[dict[str, Any], dict[str, Any]]:
    return {"x": v1.placeholder(tf.float32)}, {}


def _one_tensor_twice() -> tuple[dict[str, Any], dict[str, Any]]:
    tensor = v1.placeholder(tf.float32)
    return {"x": tensor, "z": tensor}, {"y": tensor + 1}


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_resource, "'y' has a type that no array has"),
        (_quantized, "'x' has a type that no array has"),
        (_sparse, "'x' is a sparse tensor"),
        (_nothing_out, "it has no outputs"),
        (_one_tensor_twice, "two of its inputs are one tensor"),
    ],
)
def test_a_signature_that_arrays_cannot_express_is_refused(
    refusal: Callable[[Path], LoadFailed], graph: Callable[..., Path], build: Callable[[], Any], reason: str
) -> None:
    path = graph([["serve"]], serving_default=build())
    assert f"none of its signatures can be served: 'serving_default': {reason}" in refusal(path).public


def test_a_signature_of_tensors_that_the_graph_lacks_is_refused(
    refusal: Callable[[Path], LoadFailed], copied: Path
) -> None:
    content = saved_model_pb2.SavedModel.FromString((copied / "saved_model.pb").read_bytes())
    content.meta_graphs[0].signature_def["serving_default"].outputs["y"].name = "gone:0"
    (copied / "saved_model.pb").write_bytes(content.SerializeToString())
    assert "'y' is not in the graph" in refusal(copied).public


# Keras models whose weights only the object loader finds


def test_weights_that_neither_loader_finds_are_refused_with_the_way_to_save_them(
    refusal: Callable[[Path], LoadFailed], tmp_path: Path
) -> None:
    import keras

    path = tmp_path / "model"
    tf.saved_model.save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), str(path))
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    del content.meta_graphs[0].object_graph_def.nodes[1:]
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert "save the model again with model.export(path)" in refusal(path).public


# An environment without TensorFlow


def test_without_tensorflow_the_refusal_says_what_to_install(
    refusal: Callable[[Path], LoadFailed], good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("mlbuffet_tensorflow._")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert "pip install 'tensorflow>=2.18'" in refusal(good).public
