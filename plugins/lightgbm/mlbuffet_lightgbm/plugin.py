"""The runtime of LightGBM models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_lightgbm._file import is_model, read_model, unservable
from mlbuffet_lightgbm._options import Options

if TYPE_CHECKING:
    from mlbuffet_lightgbm._model import LightGBMModel


class LightGBMRuntime(HandleHooks):
    """Runs LightGBM models."""

    concurrent_loads = True
    options = Options
    threads_option = "num_threads"

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A LightGBM model: a .txt, .lgb, .lgbm or .model file of save_model"""
        return is_model(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Dumps, and models under other names."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "LightGBMModel":
        """A booster with the model."""
        with importing("lightgbm"):
            from mlbuffet_lightgbm._model import LightGBMModel
        return LightGBMModel(read_model(path), options)

    @hookimpl
    def predict(self, model: "LightGBMModel", signature: str, inputs: Tensors) -> Tensors:
        """What the booster says."""
        return model.predict(signature, inputs)
