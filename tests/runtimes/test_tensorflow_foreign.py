"""Artifacts of TensorFlow and Keras that cannot be served: each says what it is and how to save the model instead."""

# mypy: allow-untyped-calls, allow-subclassing-any

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import keras
import numpy as np
import pytest

import mlbuffet
from mlbuffet import LoadFailed, Runtimes, hookimpl
from mlbuffet_tensorflow._archive import budget_of, unpack
from mlbuffet_tensorflow._tensorflow import tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime
from small_runtimes import HalfPlusTwo

# Keras saves weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EXPORT = "`model.export(path)`"


@pytest.fixture(scope="module")
def runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(TensorFlowRuntime(), name="tensorflow")
    return runtimes


@pytest.fixture
def refusal(runtimes: Runtimes) -> Callable[[Path], str]:
    """What a client is told of a path that the runtime accepts and cannot load."""

    def refused(path: Path) -> str:
        with pytest.raises(LoadFailed) as caught:
            mlbuffet.load(path, runtimes=runtimes)
        assert str(path) not in caught.value.public
        return caught.value.public

    return refused


def frozen_graph(folder: Path) -> Path:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.add(x, 1, name="y")
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return folder / "frozen.pb"


def checkpoint(folder: Path) -> Path:
    tf.train.Checkpoint(weights=tf.Variable([1.0])).save(str(folder / "ckpt"))
    return folder


def tflite(folder: Path) -> Path:
    function = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec([1])], autograph=False)
    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    (folder / "model.tflite").write_bytes(converter.convert())
    return folder / "model.tflite"


def without_graph(folder: Path) -> Path:
    module = tf.Module()
    module.weights = tf.Variable([1.0])
    tf.saved_model.save(module, str(folder))
    (folder / "saved_model.pb").unlink()
    return folder


def keras_with(layer: object, suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        keras.Sequential([keras.Input((2,)), layer]).save(folder / f"model{suffix}")
        return folder / f"model{suffix}"

    return make


def weights_alone(folder: Path) -> Path:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(folder / "model.weights.h5")
    return folder / "model.weights.h5"


def sparse_keras(folder: Path) -> Path:
    keras.Sequential([keras.Input((4,), sparse=True, name="s"), keras.layers.Dense(2)]).save(folder / "model.keras")
    return folder / "model.keras"


def uncalled_keras(folder: Path) -> Path:
    with pytest.warns(UserWarning, match="has not yet been built"):
        keras.Sequential([keras.layers.Dense(2)]).save(folder / "model.keras")
    return folder / "model.keras"


def cut_keras(folder: Path) -> Path:
    path = keras_with(keras.layers.Dense(300), ".h5")(folder)
    path.write_bytes(path.read_bytes()[:4000])
    return path


def zip_of(*entries: tuple[str, int]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with ZipFile(folder / "model.zip", "w") as archive:
            for name, mode in entries:
                entry = ZipInfo(name)
                entry.external_attr = mode << 16
                archive.writestr(entry, b"\x08\x01")
        return folder / "model.zip"

    return make


def encrypted_zip(folder: Path) -> Path:
    """Python does not write those: the flag is set in the entry of the directory."""
    path = zip_of(MODEL)(folder)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    return path


class Mine(keras.layers.Layer):
    """A layer that nobody registered."""

    def call(self, x: object) -> object:
        return x


def doubled(x: object) -> object:
    return x


FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
MODEL = ("saved_model.pb", FILE)
LAMBDA = ("hold Python code, which is not run from a file", "safe_mode=False)`", EXPORT)
CUSTOM = ("it needs 'Mine', a custom object", 'custom_objects={"Mine": Mine})`', EXPORT)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (frozen_graph, ("a frozen graph (a GraphDef alone)", "prune({'x': 'x:0'}, {'y': 'y:0'})`")),
        (checkpoint, ("a checkpoint: weights without a graph", "Checkpoint(model=model).restore(checkpoint)`", EXPORT)),
        (tflite, ("a TFLite file", "serve the model that it was converted from", EXPORT)),
        (without_graph, ("a SavedModel without its file saved_model.pb", "copy the whole folder")),
        (weights_alone, ("weights alone, without the layers", "`model.load_weights(file)`", EXPORT)),
        (cut_keras, ("damaged or cut short",)),
        (sparse_keras, ("its input 's' is sparse or ragged", "a function of dense tensors")),
        (uncalled_keras, ("saved before it was ever called", "call it once", EXPORT)),
        (keras_with(keras.layers.Lambda(lambda x: x * 2, name="twice"), ".keras"), ("layers (twice)", *LAMBDA)),
        (keras_with(keras.layers.Lambda(doubled, name="twice"), ".h5"), ("layers (twice)", *LAMBDA)),
        (keras_with(Mine(), ".keras"), CUSTOM),
        (keras_with(Mine(), ".h5"), CUSTOM),
        (zip_of(MODEL, ("../evil", FILE)), ("'..' or nothing between", "pack the model's folder again")),
        (zip_of(MODEL, ("/evil", FILE)), ("an absolute path",)),
        (zip_of(MODEL, ("a\\..\\evil", FILE)), ("a backslash",)),
        (zip_of(MODEL, ("C:evil", FILE)), ("a colon",)),
        (zip_of(MODEL, ("assets/nul.txt", FILE)), ("means a device",)),
        (zip_of(MODEL, ("SAVED_MODEL.PB", FILE)), ("twice",)),
        (zip_of(MODEL, ("link", LINK)), ("such as a link",)),
        (encrypted_zip, ("an encrypted file", "pack the model's folder again")),
        (zip_of(("a/saved_model.pb", FILE), ("b/saved_model.pb", FILE)), ("several models (a, b)",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*Lambda layer:UserWarning")
def test_what_cannot_be_served_says_what_it_is_and_how_to_save_it(
    refusal: Callable[[Path], str], tmp_path: Path, make: Callable[[Path], Path], said: tuple[str, ...]
) -> None:
    message = refusal(make(tmp_path))
    for part in said:
        assert part in message


def test_a_runtime_for_devices_serves_what_tensorflow_only_explains(runtimes: Runtimes, tmp_path: Path) -> None:
    class Devices(HalfPlusTwo):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".tflite"

    file = tflite(tmp_path)
    runtimes.register(Devices, name="devices")
    assert runtimes.select(file).name == "devices"
    with pytest.raises(LoadFailed, match="it is a TFLite file"):
        mlbuffet.load(file, runtime="tensorflow", runtimes=runtimes)


def test_the_lines_that_mend_a_frozen_graph_mend_it(
    refusal: Callable[[Path], str], runtimes: Runtimes, tmp_path: Path
) -> None:
    frozen = frozen_graph(tmp_path)
    lines = refusal(frozen).split("`")[1::2]
    assert len(lines) == 3
    program = "\n".join(
        ["import tensorflow as tf", f"file, path = {str(frozen)!r}, {str(tmp_path / 'mended')!r}", *lines]
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    with mlbuffet.load(tmp_path / "mended", runtimes=runtimes) as model:
        assert model.predict({"x": np.array([1, 2], np.float32)})["y"].tolist() == [2, 3]


def test_a_zip_larger_than_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    path = zip_of(MODEL, ("variables/variables.index", FILE))(tmp_path)
    with pytest.raises(LoadFailed, match="more than 3 bytes, the most that is unpacked; unpack it yourself"):
        unpack(path, tmp_path / "out", budget_of(path, max_bytes=3))
    assert not (tmp_path / "out").exists()


def test_the_files_of_others_are_not_accepted(tmp_path: Path) -> None:
    import h5py

    np.savez(tmp_path / "arrays.npz", x=np.ones(3))
    zip_of(("data.pkl", FILE), ("config.json", FILE))(tmp_path).rename(tmp_path / "torch.zip")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["measurements"] = np.ones(3)
    for name, content in (
        ("tensor.pb", b"\x08\x03\x10\x01"),
        ("noise.tflite", b"noise"),
        ("noise.keras", b"PK\3\4noise"),
    ):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "mixed").mkdir()
    checkpoint(tmp_path / "mixed")
    (tmp_path / "mixed" / "model.onnx").write_bytes(b"\x08\x03")
    accepted = [path.name for path in tmp_path.iterdir() if TensorFlowRuntime().accepts(path)]
    assert accepted == []
