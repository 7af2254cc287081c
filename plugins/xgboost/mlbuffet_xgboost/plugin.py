"""The runtime of XGBoost models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_xgboost._file import is_model, unservable
from mlbuffet_xgboost._options import Options

if TYPE_CHECKING:
    from mlbuffet_xgboost._model import XGBoostModel


class XGBoostRuntime(HandleHooks):
    """Runs XGBoost models."""

    concurrent_loads = True
    options = Options
    threads_option = "nthread"

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """An XGBoost model: a .json or .ubj file of save_model"""
        return is_model(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """The old binary format, dumps and configurations, and models under other names."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "XGBoostModel":
        """A booster with the model."""
        with importing("xgboost"):
            from mlbuffet_xgboost._model import XGBoostModel
        return XGBoostModel(path.read_bytes(), options)

    @hookimpl
    def predict(self, model: "XGBoostModel", signature: str, inputs: Tensors) -> Tensors:
        """What the booster says."""
        return model.predict(signature, inputs)
