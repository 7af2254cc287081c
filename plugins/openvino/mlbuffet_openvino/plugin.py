"""The runtime of OpenVINO models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_openvino._file import checked_file, explanation, is_model, model_file
from mlbuffet_openvino._options import Options

if TYPE_CHECKING:
    from mlbuffet_openvino._model import OpenVINOModel


class OpenVINORuntime(HandleHooks):
    """Runs OpenVINO models, and where it is chosen ONNX and TensorFlow Lite models."""

    platform = "openvino"
    concurrent_loads = True
    options = Options
    client_options = frozenset({"performance_hint", "inference_num_threads", "inference_precision"})

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """An OpenVINO model: a .xml file beside its .bin file, or a folder with one (of several, model.xml)"""
        file = model_file(path)
        return file is not None and is_model(file)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Models of old versions, and models under other names."""
        return explanation(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "OpenVINOModel":
        """The model, compiled for its device."""
        file = checked_file(path)
        with importing("openvino"):
            from mlbuffet_openvino._model import OpenVINOModel
        return OpenVINOModel(file, options)

    @hookimpl
    def predict(self, model: "OpenVINOModel", signature: str, inputs: Tensors) -> Tensors:  # noqa: ARG002 there is only one
        """All outputs of the network."""
        return model.predict(inputs)
