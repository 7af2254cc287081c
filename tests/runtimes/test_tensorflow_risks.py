"""What a SavedModel or a file of Keras reaches besides its own files, read without running it."""

# mypy: allow-untyped-calls, allow-subclassing-any, allow-untyped-decorators

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from mlbuffet import LoadFailed, Runtimes
from mlbuffet.loading import scan
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from mlbuffet_tensorflow.plugin import TensorFlowRuntime
from saved_models import MAKERS, Case, save_all

# Keras saves and loads weights by a call that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXT = tf.TensorSpec([None], tf.string)


@pytest.fixture(scope="module")
def runtimes() -> Runtimes:
    found = Runtimes()
    found.register(TensorFlowRuntime, name="tensorflow")
    return found


@pytest.fixture(scope="module")
def cases(shared_folder: Path) -> dict[str, Case]:
    return save_all(shared_folder / "saved_models")


def save(path: Path, call: Callable[..., Any], **state: Any) -> Path:
    module = tf.Module()
    for name, value in state.items():
        setattr(module, name, value)
    module.call = tf.function(call, input_signature=[TEXT], autograph=False)
    tf.saved_model.save(module, str(path), signatures=module.call)
    return path


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "keras-subclass-file"])
def test_ordinary_models_have_none(cases: dict[str, Case], runtimes: Runtimes, name: str) -> None:
    assert scan(cases[name].path, runtimes).risks == []


def test_a_class_of_the_program_that_made_it_is_told(cases: dict[str, Case], runtimes: Runtimes) -> None:
    (risk,) = scan(cases["keras-subclass-file"].path, runtimes).risks
    assert risk == ("code", "it names objects of the Python module 'saved_models', which Keras would import")


def read(text: Any) -> Any:
    return tf.map_fn(tf.io.read_file, text)


def write(text: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("/tmp/x", text[0])]):
        return tf.identity(text)


def python(text: Any) -> Any:
    return tf.py_function(lambda value: value, [text], tf.string)


def in_branch(text: Any) -> Any:
    return tf.cond(tf.size(text) > 1, lambda: tf.io.read_file("/etc/passwd"), lambda: text[0])


def print_to_file(text: Any) -> Any:
    with tf.control_dependencies([tf.print(text, output_stream="file:///tmp/x")]):
        return tf.identity(text)


def restore(text: Any) -> Any:
    return tf.raw_ops.RestoreV2(prefix="/etc/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string])[0]


@pytest.mark.parametrize(
    ("call", "capability", "operation"),
    [
        (read, "files", "ReadFile"),
        (write, "files", "WriteFile"),
        (python, "code", "EagerPyFunc"),
        (in_branch, "files", "ReadFile"),
        (print_to_file, "files", "PrintV2"),
        (restore, "files", "RestoreV2"),
    ],
)
def test_operations_that_reach_out_are_told(
    runtimes: Runtimes, tmp_path: Path, call: Callable[..., Any], capability: str, operation: str
) -> None:
    (risk,) = scan(save(tmp_path / "m", call), runtimes).risks
    assert risk.capability == capability
    assert risk.text.startswith(f"the operation {operation} (")


def test_its_own_assets_may_be_read_and_others_not(runtimes: Runtimes, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("tea\ncoffee\n")
    asset = tf.saved_model.Asset(str(tmp_path / "words.txt"))
    line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    words = tf.lookup.TextFileInitializer(asset.asset_path, tf.string, line, tf.int64, number)
    table = tf.lookup.StaticVocabularyTable(words, num_oov_buckets=1)

    def call(text: Any) -> Any:
        return {"id": table.lookup(text), "all": tf.io.read_file(asset.asset_path)}

    path = save(tmp_path / "m", call, asset=asset, table=table)
    assert scan(path, runtimes).risks == []
    message = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    asset_file = message.meta_graphs[0].asset_file_def[0]
    asset_file.filename = "../../../etc/passwd"
    (path / "saved_model.pb").write_bytes(message.SerializeToString())
    assert scan(path, runtimes).risks == [
        ("files", "its asset '../../../etc/passwd' lies outside of the model's folder")
    ]
    message.meta_graphs[0].ClearField("asset_file_def")
    (path / "saved_model.pb").write_bytes(message.SerializeToString())
    texts = [risk.text for risk in scan(path, runtimes).risks]
    assert [text.split(" (")[0] for text in texts] == [
        "the operation InitializeTableFromTextFileV2",
        "the operation ReadFile",
    ]


def test_a_zip_is_looked_into(runtimes: Runtimes, tmp_path: Path) -> None:
    save(tmp_path / "folder" / "m", python)
    packed = shutil.make_archive(str(tmp_path / "m"), "zip", tmp_path / "folder")
    assert [risk.capability for risk in scan(packed, runtimes).risks] == ["code"]


def keras_file(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file of Keras whose configuration was changed by hand."""
    model = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(1, name="d")])
    model.save(path.with_name("before.keras"))
    with zipfile.ZipFile(path.with_name("before.keras")) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"][1])
                content = json.dumps(config).encode()
            after.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("change", "capability", "text"),
    [
        ({"module": "os", "class_name": "system"}, "code", "the Python module 'os'"),
        ({"config": {"name": "v", "vocabulary": "/etc/passwd"}}, "files", "its layer 'v' reads its vocabulary"),
        ({"class_name": "Lambda", "config": {"name": "l"}}, "code", "its Lambda layers (l) hold Python code"),
    ],
    ids=["module", "vocabulary", "Lambda"],
)
def test_what_keras_would_import_run_or_read_is_told(
    runtimes: Runtimes, tmp_path: Path, change: dict[str, Any], capability: str, text: str
) -> None:
    (risk,) = scan(keras_file(tmp_path / "m.keras", lambda layer: layer.update(change)), runtimes).risks
    assert risk.capability == capability
    assert text in risk.text


def test_a_damaged_file_is_no_harmless_one(runtimes: Runtimes, tmp_path: Path) -> None:
    path = save(tmp_path / "m", python)
    content = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadFailed, match="damaged or cut short"):
        scan(path, runtimes)


def test_a_function_that_clients_may_call_names_no_file_of_its_own(runtimes: Runtimes, tmp_path: Path) -> None:
    module = tf.Module()
    module.read = tf.function(tf.io.read_file, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={})
    assert [risk.text.split(" (")[0] for risk in scan(tmp_path / "m", runtimes).risks] == ["the operation ReadFile"]


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    """The SavedModel with a change of its meta graph."""
    message = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    change(message.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(message.SerializeToString())
    return path


def test_what_a_client_gives_is_no_asset(runtimes: Runtimes, tmp_path: Path) -> None:
    def claim(meta_graph: Any) -> None:
        asset = meta_graph.asset_file_def.add(filename="words.txt")
        asset.tensor_info.name = meta_graph.signature_def["serving_default"].inputs["text"].name

    path = changed(save(tmp_path / "m", lambda text: tf.io.read_file(tf.reshape(text, []))), claim)
    assert [risk.capability for risk in scan(path, runtimes).risks] == ["files"]


def beside_an_asset(name: Any) -> Any:
    """The second output of a node whose first is an asset."""
    return tf.raw_ops.IdentityN(input=[name, tf.constant("/etc/passwd")])[1]


def packed(_: Any) -> Any:
    return tf.reshape(tf.raw_ops.Pack(values=[tf.constant("/etc/passwd")]), [])


@pytest.mark.parametrize("hide", [beside_an_asset, packed])
def test_no_name_hides_beside_an_asset_or_in_packed_text(
    runtimes: Runtimes, tmp_path: Path, hide: Callable[[Any], Any]
) -> None:
    (tmp_path / "words.txt").write_text("tea\n")
    asset = tf.saved_model.Asset(str(tmp_path / "words.txt"))

    def call(text: Any) -> Any:
        with tf.control_dependencies([tf.identity(text)]):
            return tf.raw_ops.ReadFile(filename=hide(asset.asset_path))

    def pack(meta_graph: Any) -> None:
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def:
                tensor = node.attr["value"].tensor
                if node.op == "Const" and list(tensor.string_val) == [b"/etc/passwd"]:
                    tensor.ClearField("string_val")
                    tensor.tensor_content = b"\x0b/etc/passwd"

    path = changed(save(tmp_path / "m", call, asset=asset), pack)
    assert [risk.text.split(" (")[0] for risk in scan(path, runtimes).risks] == ["the operation ReadFile"]
