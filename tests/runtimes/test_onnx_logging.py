"""What the ONNX runtime logs, and that nothing is written to stderr."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mlbuffet
from mlbuffet_onnx._stderr import stderr_to_logging

value = helper.make_tensor_value_info
W = helper.make_tensor("w", TensorProto.FLOAT, [3], [1, 2, 3])
ADD = helper.make_node("Add", ["x", "w"], ["y"])
COLOURED = b"\x1b[1;31m2026-01-01 10:00:00.123456789 [E:onnxruntime:Default, a.cc:1 f] one\nand two\x1b[m\n"
PLAIN = b"2026-01-01 10:00:00.123456789 [W:onnxruntime:, a.cc:1 f] three\n"


def save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto] = (ADD,),
    declared: Sequence[int | str] = ("n", 3),
    inputs: Sequence[str] = (),
    initializers: Sequence[onnx.TensorProto] = (W,),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", TensorProto.FLOAT, ["n", 3]), *(value(name, TensorProto.FLOAT, [3]) for name in inputs)],
        [value("y", TensorProto.FLOAT, declared)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "saved.onnx").write_bytes(model.SerializeToString())
    return folder / "saved.onnx"


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "mlbuffet_onnx"]


@pytest.mark.usefixtures("silent")
def test_a_model_in_order_is_loaded_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlbuffet.load(save(tmp_path)).predict({"x": np.ones((2, 3), np.float32)})
    assert messages(caplog) == []


@pytest.mark.usefixtures("silent")
def test_weights_without_a_use_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    idle = [helper.make_tensor(f"idle{number}", TensorProto.FLOAT, [1], [0]) for number in range(7)]
    path = save(tmp_path, initializers=[W, *idle])
    mlbuffet.load(path)
    assert messages(caplog) == [
        f"'{path}': no node uses the initializers 'idle0', 'idle1', 'idle2', 'idle3', 'idle4' and 2 more; "
        "export the model without them"
    ]


@pytest.mark.usefixtures("silent")
def test_weights_that_only_a_subgraph_uses_are_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    idle = helper.make_tensor("inner", TensorProto.FLOAT, [3], [0, 0, 0])
    branches = [
        helper.make_graph([helper.make_node("Add", ["x", name], [f"{name}_out"])], "branch", [], [
            value(f"{name}_out", TensorProto.FLOAT, ["n", 3])], [idle] if name == "inner" else [])
        for name in ("w", "inner")
    ]  # fmt: skip
    choice = helper.make_node("If", ["flag"], ["y"], then_branch=branches[0], else_branch=branches[1])
    model = mlbuffet.load(save(tmp_path, [choice], initializers=[W, flag]))
    assert model.predict({"x": [[0, 0, 0]]})["y"].tolist() == [[1, 2, 3]]
    assert messages(caplog) == []


@pytest.mark.usefixtures("silent")
def test_weights_that_are_sparse_are_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = helper.make_tensor("idle", TensorProto.FLOAT, [1], [1])
    indices = helper.make_tensor("where", TensorProto.INT64, [1], [2])
    model = onnx.load(save(tmp_path))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    (tmp_path / "saved.onnx").write_bytes(model.SerializeToString())
    mlbuffet.load(tmp_path)
    assert "no node uses the initializers 'idle'" in messages(caplog)[0]


@pytest.mark.usefixtures("silent")
def test_weights_that_are_also_inputs_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mlbuffet.load(save(tmp_path, inputs=["w"]))
    assert "'w' are declared as inputs, too" in messages(caplog)[0]


@pytest.mark.usefixtures("silent")
def test_an_output_that_is_not_as_declared_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(tmp_path, declared=(1, 3))
    model = mlbuffet.load(path)
    for rows in (1, 2, 3):
        assert model.predict({"x": np.ones((rows, 3), np.float32)})["y"].shape == (rows, 3)
    assert messages(caplog) == [
        f"'{path}': its output 'y' has shape (2, 3) and is declared as (1, 3); more of the kind will not be logged"
    ]


@pytest.mark.usefixtures("silent")
def test_a_failed_run_writes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    size = helper.make_tensor("size", TensorProto.INT64, [1], [5])
    reshape = helper.make_node("Reshape", ["x", "size"], ["y"])
    model = mlbuffet.load(save(tmp_path, [reshape], declared=[5], initializers=[size]))
    with pytest.raises(mlbuffet.PredictFailed):
        model.predict({"x": [[1, 2, 3]]})
    assert messages(caplog) == []


def save_what_onnxruntime_complains_of(folder: Path) -> None:
    recurrent = helper.make_node("RNN", ["x3", "w3", "r3"], ["y"], hidden_size=1, layout=1)
    inputs = [value(name, TensorProto.FLOAT, [1, 1, 1]) for name in ("x3", "w3", "r3")]
    graph = helper.make_graph([recurrent], "graph", inputs, [value("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "saved.onnx").write_bytes(model.SerializeToString())


@pytest.mark.usefixtures("silent")
def test_what_onnxruntime_complains_of_at_load_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_what_onnxruntime_complains_of(tmp_path)
    with caplog.at_level(logging.INFO), pytest.raises(mlbuffet.LoadFailed, match="layout"):
        mlbuffet.load(tmp_path)
    complaints = [record for record in caplog.records if record.name == "mlbuffet_onnx"]
    assert "layout" in complaints[0].getMessage()
    assert complaints[0].levelno == logging.INFO  # the exception says the same


@pytest.mark.usefixtures("silent")
def test_while_another_load_has_stderr_a_model_is_loaded_without_a_word(tmp_path: Path) -> None:
    save_what_onnxruntime_complains_of(tmp_path)
    with stderr_to_logging() as is_logged, stderr_to_logging() as is_logged_twice:
        assert (is_logged, is_logged_twice) == (True, False)
        with pytest.raises(mlbuffet.LoadFailed, match="layout"):
            mlbuffet.load(tmp_path)


def test_what_others_write_to_stderr_meanwhile_gets_there(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        for line in (b"before\n", PLAIN, b"between\n", COLOURED, b"after"):
            os.write(2, line)

    with caplog.at_level(logging.INFO), stderr_to_logging():
        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
    assert capfd.readouterr().err == "before\nbetween\nafter"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "onnxruntime: three"),
        (logging.INFO, "onnxruntime: one\nand two"),
    ]


def test_stderr_is_as_before_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), stderr_to_logging():
        divmod(os.write(2, b"said\n"), 0)
    os.write(2, b"and done\n")
    assert capfd.readouterr().err == "said\nand done\n"


def test_a_process_without_stderr_loads_models_too(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.close(2); import mlbuffet\n"
        "print(mlbuffet.load(sys.argv[1]).predict({'x': [[0, 0, 0]]})['y'].tolist())"
    )
    command = [sys.executable, "-c", program, str(save(tmp_path))]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"[[1.0, 2.0, 3.0]]\n"
