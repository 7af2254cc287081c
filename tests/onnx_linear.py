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
