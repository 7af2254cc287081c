"""The ONNX runtime keeps the rules of every runtime, whatever path its types make it take."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_onnx.plugin import OnnxRuntime

value = helper.make_tensor_value_info


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> None:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


class TestOnnx(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> OnnxRuntime:
        return OnnxRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = tmp_path / "scale.onnx"
        weights = [onnx.numpy_helper.from_array(np.full((1, 2), 2, np.float32), "w")]
        save(
            path,
            [helper.make_node("Mul", ["x", "w"], ["y"])],
            [value("x", TensorProto.FLOAT, ["n", 2])],
            [value("y", TensorProto.FLOAT, ["n", 2])],
            weights,
        )
        x = np.array([[1, 2], [3, 4]], np.float32)
        return Artifact(path, inputs={"x": x}, outputs={"y": 2 * x})


class TestOnnxWithTexts(TestOnnx):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = tmp_path / "texts.onnx"
        save(
            path,
            [
                helper.make_node("Identity", ["text"], ["same"]),
                helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["b", "a"]),
            ],
            [value("text", TensorProto.STRING, ["n"]), value("p", TensorProto.FLOAT, ["n", 2])],
            [value("same", TensorProto.STRING, ["n"]), helper.make_value_info("maps", maps())],
            [],
        )
        texts, p = np.array(["é".encode(), b""], object), np.array([[1, 2], [3, 4]], np.float32)
        return Artifact(path, inputs={"text": texts, "p": p}, outputs={"same": texts, "maps": p[:, ::-1]})


class TestOnnxWithSmallFloats(TestOnnx):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = tmp_path / "small.onnx"
        small = TensorProto.BFLOAT16
        nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Cast", ["x"], ["z"], to=1)]
        save(path, nodes, [value("x", small, ["n"])], [value("y", small, ["n"]), value("z", 1, ["n"])], [])
        x = np.array([1.5, -2]).astype(ml_dtypes.bfloat16)
        return Artifact(path, inputs={"x": x}, outputs={"y": x, "z": x.astype(np.float32)})


class TestOnnxWithWeightsBeside(TestOnnx):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        folder = tmp_path / "artifact"
        folder.mkdir()
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            "graph",
            [value("x", TensorProto.FLOAT, ["n", 2])],
            [value("y", TensorProto.FLOAT, ["n", 2])],
            [onnx.numpy_helper.from_array(np.full((400, 2), 2, np.float32)[:1].copy(), "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
        x = np.array([[1, 2], [3, 4]], np.float32)
        return Artifact(folder, inputs={"x": x}, outputs={"y": x + 2})


def maps() -> onnx.TypeProto:
    return helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
