"""The runtime of LightGBM models."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import hookimpl, importing
from mlbuffet.tensors import Signatures, Tensors
from mlbuffet_lightgbm._file import is_model, read_model, unservable

if TYPE_CHECKING:
    from mlbuffet_lightgbm._model import LightGBMModel


class LightGBMRuntime:
    """Runs LightGBM models."""

    concurrent_loads = True

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A LightGBM model: a .txt, .lgb, .lgbm or .model file of save_model"""
        try:
            return is_model(path)
        except OSError:  # what cannot be read is no model
            return False

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Dumps, and models under other names."""
        try:
            return unservable(path)
        except OSError:
            return None

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> "LightGBMModel":
        """A booster with the model."""
        if reason := unservable(path):
            raise LoadFailed(reason)
        with importing("lightgbm"):
            from mlbuffet_lightgbm._model import LightGBMModel
        return LightGBMModel(read_model(path), options)

    @hookimpl
    def signature(self, model: "LightGBMModel") -> Signatures:
        """Predictions, raw scores, leaves, and as far as LightGBM computes them contributions."""
        return model.signatures

    @hookimpl
    def predict(self, model: "LightGBMModel", signature: str, inputs: Tensors) -> Tensors:
        """What the booster says."""
        return model.predict(signature, inputs)
