"""What an ONNX file reaches besides its own weights and onnxruntime's operators."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mlbuffet import Runtimes
from mlbuffet.loading import scan
from mlbuffet_onnx.plugin import OnnxRuntime
from onnx_linear import save_linear

VALUE = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]


@pytest.fixture
def runtimes() -> Runtimes:
    found = Runtimes()
    found.register(OnnxRuntime, name="onnx")
    return found


def save(path: Path, *nodes: onnx.NodeProto, functions: tuple[onnx.FunctionProto, ...] = ()) -> Path:
    graph = helper.make_graph(list(nodes), "g", VALUE[:1], VALUE[1:])
    opsets = [helper.make_opsetid(domain, 17) for domain in ("", "acme", "com.microsoft")]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8), path)
    return path


def test_an_ordinary_model_has_none(runtimes: Runtimes, tmp_path: Path) -> None:
    save_linear(tmp_path / "m.onnx")
    assert scan(tmp_path / "m.onnx", runtimes) == (tmp_path / "m.onnx", "onnx", [])


def test_operators_that_onnxruntime_does_not_bring_are_told_wherever_they_are(
    runtimes: Runtimes, tmp_path: Path
) -> None:
    inner = helper.make_node("Steal", ["x"], ["y"], domain="acme")
    branch = helper.make_graph([inner], "branch", [], VALUE[1:])
    condition = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    within = save(tmp_path / "if.onnx", condition, node)
    function = helper.make_function("acme", "Own", ["x"], ["y"], [inner], [helper.make_opsetid("acme", 17)])
    in_function = save(tmp_path / "f.onnx", helper.make_node("Own", ["x"], ["y"], domain="acme"), functions=(function,))
    python = save(tmp_path / "p.onnx", helper.make_node("PythonOp", ["x"], ["y"], domain="com.microsoft"))
    wanted = [("code", "the operator 'Steal' of 'acme', which a library of its maker brings")]
    assert scan(within, runtimes).risks == wanted
    assert scan(python, runtimes).risks[0].text.startswith("the operator 'PythonOp' of 'com.microsoft'")
    assert scan(in_function, runtimes).risks == wanted  # and not the function itself
    allowed = {"custom_op_libraries": ["steal.so"]}
    assert scan(within, runtimes, options=allowed).risks == []


@pytest.mark.parametrize("kind", ["initializer", "constant"])
@pytest.mark.parametrize(
    ("location", "is_outside"),
    [("weights.bin", False), ("../weights.bin", True), ("/etc/passwd", True), ("link", True), ("a/../b", False)],
)
def test_weights_elsewhere_are_told(
    runtimes: Runtimes, tmp_path: Path, location: str, kind: str, *, is_outside: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    if kind == "initializer":
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", VALUE[:1], VALUE[1:], [tensor])
    else:
        nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
        graph = helper.make_graph(nodes, "g", VALUE[:1], VALUE[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    text = f"weights in the file {location!r}, which lies outside of the model's folder"
    assert scan(folder / "m.onnx", runtimes).risks == ([("files", text)] if is_outside else [])
