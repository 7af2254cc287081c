"""Modules that are imported before a model is loaded, for the operations that they bring."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed
from mlbuffet_tensorflow._tensorflow import saved_model_pb2, tf
from processes import address_of, serve
from uploading import zipped

COMPILER = shutil.which("g++")
HEADERS = Path(tf.sysconfig.get_include())
OPERATION = """
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

static void compute(void*, TF_OpKernelContext* context) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* x = nullptr;
  TF_GetInput(context, 0, &x, status);
  TF_SetOutput(context, 0, x, status);
  TF_DeleteTensor(x);
  TF_DeleteStatus(status);
}

__attribute__((constructor)) static void add() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* echo = TF_NewOpDefinitionBuilder("MlbuffetEcho");
  TF_OpDefinitionBuilderAddInput(echo, "x: float");
  TF_OpDefinitionBuilderAddOutput(echo, "y: float");
  TF_RegisterOpDefinition(echo, status);
  TF_RegisterKernelBuilder("echo", TF_NewKernelBuilder("MlbuffetEcho", "CPU", nullptr, &compute, nullptr), status);
  TF_DeleteStatus(status);
}
"""
MODULE = """
from pathlib import Path
import tensorflow as tf
tf.load_op_library(str(Path(__file__).with_name("echo.so")))
"""


def save_echo(folder: Path) -> Path:
    """A model with the operation of the library, written without it."""
    message = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = message.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.versions.producer = tf.Graph().as_graph_def().versions.producer
    x = meta.graph_def.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = tf.float32.as_datatype_enum
    meta.graph_def.node.add(name="echo", op="MlbuffetEcho", input=["x"])
    signature = meta.signature_def["serving_default"]
    for ports, name, tensor in ((signature.inputs, "x", "x:0"), (signature.outputs, "y", "echo:0")):
        ports[name].name = tensor
        ports[name].dtype = tf.float32.as_datatype_enum
        ports[name].tensor_shape.dim.add(size=-1)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that can be imported."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def compile_echo(site: Path) -> None:
    if COMPILER is None:
        pytest.skip("there is no compiler for a library with an operation")
    (site / "echo.cc").write_text(OPERATION)
    command = [COMPILER, "-shared", "-fPIC", f"-I{HEADERS}", "echo.cc", "-o", "echo.so"]
    subprocess.run(command, cwd=site, check=True, timeout=60)
    (site / "echo_operations.py").write_text(MODULE)


def test_a_module_brings_the_operations_that_a_model_needs(site: Path, tmp_path: Path) -> None:
    compile_echo(site)
    path = save_echo(tmp_path / "echo")
    with pytest.raises(LoadFailed, match="'MlbuffetEcho'") as refused:
        mlbuffet.load(path)
    for way in ('the option imports, such as imports = ["tensorflow_text"]', "[options]", "--option", "options="):
        assert way in refused.value.public
    with mlbuffet.load(path, options={"imports": ["echo_operations"]}) as model:
        assert model.predict({"x": [1.5, 2]})["y"].tolist() == [1.5, 2]


def test_a_server_and_the_trial_of_an_upload_import_what_model_toml_names(site: Path, tmp_path: Path) -> None:
    compile_echo(site)
    root = tmp_path / "models"
    content = (save_echo(root / "echo" / "1") / "saved_model.pb").read_bytes()
    (root / "echo" / "model.toml").write_text('[options]\nimports = ["echo_operations"]')
    process = serve({**os.environ, "PYTHONPATH": str(site)}, root)
    try:
        with httpx.Client(base_url=address_of(process), timeout=60) as client:

            def answer(address: str) -> object:
                return client.post(f"/v1/models/{address}:predict", json={"instances": [1.5]}).json()

            assert answer("echo") == {"predictions": [1.5]}
            file = ("echo.zip", zipped({"saved_model.pb": content}))
            pushed = client.post("/api/v1/models/echo", files={"path": file})
            assert pushed.status_code == 201, pushed.text
            assert answer("echo/versions/2") == {"predictions": [1.5]}
            own = ("own.zip", zipped({"saved_model.pb": content, "model.toml": b'[options]\nimports = ["lost"]'}))
            refusals = {
                "needs the operation 'MlbuffetEcho'": {},
                "an upload has no field 'imports'": {"imports": "echo_operations"},
                "an upload may not set 'imports'": {"options": '{"imports": ["echo_operations"]}'},
            }
            for refusal, fields in refusals.items():
                pushed = client.post("/api/v1/models/other", files={"path": own}, data=fields)
                assert (pushed.status_code, refusal in pushed.text) == (422, True), pushed.text
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_modules_are_imported_in_their_order(site: Path, tmp_path: Path) -> None:
    (site / "comes_first.py").write_text("")
    (site / "comes_second.py").write_text("import sys\nassert 'comes_first' in sys.modules")
    module = tf.Module()
    module.same = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], name="x")], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "same"))
    with mlbuffet.load(tmp_path / "same", options={"imports": ["comes_first", "comes_second"]}) as model:
        assert model.predict({"x": [1]})["output_0"].tolist() == [1]
    assert "comes_second" in sys.modules


@pytest.mark.parametrize(
    ("name", "problem", "detail"),
    [
        (
            "tensorflow_nowhere",
            "'tensorflow_nowhere', which is not installed here; .*: pip install tensorflow-nowhere",
            "",
        ),
        ("tensorflow_nowhere.part", "most likely with: pip install tensorflow-nowhere", ""),
        ("json.nowhere", "'json.nowhere', which the package 'json' that is installed here does not have", ""),
        ("broken.part", "'broken.part', which the package 'broken' that is installed here does not have", ""),
        ("needs", "'needs', which fails when it is imported", "No module named 'tensorflow_nowhere'"),
        ("raises", "'raises', which fails when it is imported", "ValueError: built for another /secret/tensorflow"),
        ("exits", "'exits', which fails when it is imported", "SystemExit: 3"),
        ("garbled", "'garbled', which fails when it is imported", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why_and_how_to_install_it(
    site: Path, tmp_path: Path, name: str, problem: str, detail: str
) -> None:
    modules = {
        "broken": "",
        "needs": "import tensorflow_nowhere",
        "raises": "raise ValueError('built for another /secret/tensorflow')",
        "exits": "raise SystemExit(3)",
        "garbled": "def",
    }
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)
    with pytest.raises(LoadFailed, match=problem) as refused:
        mlbuffet.load(save_echo(tmp_path / "echo"), options={"imports": ["json", name]})
    assert detail in str(refused.value)
    assert "/secret" not in refused.value.public


@pytest.mark.parametrize(
    "imports", ["json", [1], [""], ["a-b"], ["../a"], [".a"], ["a."], ["a b"], {"a": 1}, None], ids=repr
)
def test_names_that_are_no_modules_are_invalid_options(tmp_path: Path, imports: object) -> None:
    with pytest.raises(InvalidOptions, match="imports"):
        mlbuffet.load(save_echo(tmp_path / "echo"), options={"imports": imports})
