"""The runtime of ONNX models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import HandleHooks, LoadContext, Risk, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_onnx._artifact import is_onnx, model_file, unservable
from mlbuffet_onnx._options import Options
from mlbuffet_onnx._risks import risks_of
from mlbuffet_onnx._stderr import stderr_to_logging

if TYPE_CHECKING:
    from mlbuffet_onnx._model import OnnxModel


class OnnxRuntime(HandleHooks):
    """Runs ONNX models with ONNX Runtime."""

    platform = "onnx_onnxv1"
    concurrent_loads = True
    output_shapes_may_differ = True  # onnxruntime itself warns where they do, and files are often imprecise
    options = Options
    threads_option = "intra_op_threads"
    client_options = frozenset({"intra_op_threads", "inter_op_threads", "spinning", "graph_optimization"})

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """An ONNX model: a .onnx file, or a folder with one .onnx file (of several, model.onnx)"""
        file = model_file(path)
        return file is not None and is_onnx(file)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """A .onnx file that is empty or damaged, and a file in ORT format."""
        return unservable(path)

    @hookimpl
    def risks(self, path: Path, options: Options) -> list[Risk]:
        """Operators that onnxruntime does not bring, and weights in files elsewhere."""
        file = model_file(path)
        return [] if file is None else risks_of(file, libraries=bool(options.custom_op_libraries))

    @hookimpl
    def load(self, path: Path, options: Options, context: LoadContext) -> "OnnxModel":
        """A session of onnxruntime with the model."""
        file = model_file(path)
        if file is None:
            raise LoadFailed("the folder must hold one .onnx file, or of several one that is called model.onnx")
        # onnxruntime may complain of the machine as soon as it is imported
        with importing("onnxruntime"), stderr_to_logging():
            from mlbuffet_onnx._model import OnnxModel
        return OnnxModel(file, options, context.options_folder)

    @hookimpl
    def predict(self, model: "OnnxModel", signature: str, inputs: Tensors) -> Tensors:  # noqa: ARG002 there is only one
        """All outputs of the graph."""
        return model.predict(inputs)
