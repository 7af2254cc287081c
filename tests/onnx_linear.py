"""An ONNX model of one operator."""

from pathlib import Path

import numpy as np
import onnx


def save_linear(path: Path) -> None:
    """The ONNX model y = x @ w."""
    rank2 = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 3), ("y", 2))
    ]
    weights = onnx.numpy_helper.from_array((np.arange(6, dtype=np.float32) / 7).reshape(3, 2), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "linear", rank2[:1], rank2[1:], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def write_line(path: Path, slope: float, offset: float) -> None:
    """The ONNX model y = slope * x + offset, of any number of floats, with the folders around it."""
    vector = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in "xy"]
    numbers = {"slope": slope, "offset": offset}
    values = [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    nodes = [onnx.helper.make_node("Mul", ["x", "slope"], ["s"]), onnx.helper.make_node("Add", ["s", "offset"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "line", vector[:1], vector[1:], values)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
