"""The runtime of CatBoost models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet import Request
from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_catboost._file import format_of, readable_format, unservable
from mlbuffet_catboost._options import Options

if TYPE_CHECKING:
    from mlbuffet_catboost._model import CatBoostModel


class CatBoostRuntime(HandleHooks):
    """Runs CatBoost models."""

    concurrent_loads = True
    options = Options
    threads_option = "thread_count"

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A CatBoost model: a .cbm or .json file of save_model"""
        return format_of(path) is not None

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Files that are empty or damaged, and models under other names."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "CatBoostModel":
        """CatBoost with the model."""
        form = readable_format(path)
        with importing("catboost"):
            from mlbuffet_catboost._model import CatBoostModel
        return CatBoostModel(path, form, options)

    @hookimpl
    def predict(self, model: "CatBoostModel", inputs: Tensors, request: Request) -> Tensors:
        """What CatBoost says, which is asked anew for each output that is wanted."""
        return model.predict(inputs, request.outputs)
