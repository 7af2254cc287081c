"""The runtime of LiteRT models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_litert._file import is_model, unservable
from mlbuffet_litert._options import Options

if TYPE_CHECKING:
    from mlbuffet_litert._model import LiteRTModel


class LiteRTRuntime(HandleHooks):
    """Runs LiteRT (TensorFlow Lite) models."""

    platform = "tensorflow_lite"
    concurrent_loads = True
    options = Options
    threads_option = "num_threads"
    client_options = frozenset({"num_threads"})
    output_shapes_may_differ = True  # a converter writes [] and 1 for what it does not know

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A LiteRT (TensorFlow Lite) model: a .tflite file"""
        return is_model(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Damaged models, and models under other names."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "LiteRTModel":
        """The first interpreter of the model."""
        if reason := unservable(path):
            raise LoadFailed(reason)
        with importing("ai_edge_litert", "ai-edge-litert"):
            from mlbuffet_litert._model import LiteRTModel
        return LiteRTModel(path.read_bytes(), options)

    @hookimpl
    def predict(self, model: "LiteRTModel", signature: str, inputs: Tensors) -> Tensors:
        """All outputs of the signature."""
        return model.predict(signature, inputs)
