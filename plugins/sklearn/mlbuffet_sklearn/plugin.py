"""The runtime of scikit-learn models."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from mlbuffet.hookspecs import HandleHooks, Request, Risk, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_sklearn._file import check, is_model, unservable
from mlbuffet_sklearn._options import Options

if TYPE_CHECKING:
    from mlbuffet_sklearn._model import SklearnModel


class SklearnRuntime(HandleHooks):
    """Runs scikit-learn models."""

    concurrent_loads = True
    options = Options
    client_options = frozenset({"dtypes"})

    def __init__(self) -> None:
        self._lock = Lock()  # of all calls: scikit-learn changes the filters of warnings meanwhile, which threads share

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A scikit-learn model: a .skops file of skops.io.dump"""
        return is_model(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Pickles, and files that are damaged or have another name."""
        return unservable(path)

    @hookimpl
    def risks(self, path: Path, options: Options) -> list[Risk]:
        """Types that skops does not trust, and nobody here either."""
        check(path)
        with importing("sklearn", "skops"):
            from mlbuffet_sklearn._estimator import untrusted_types
        return [Risk("code", f"it makes objects of {name}") for name in untrusted_types(path, options.trusted)]

    @hookimpl
    def load(self, path: Path, options: Options) -> "SklearnModel":
        """The estimator in the file."""
        check(path)
        with importing("sklearn", "skops"):
            from mlbuffet_sklearn._model import SklearnModel
        return SklearnModel(path, options, self._lock)

    @hookimpl
    def predict(self, model: "SklearnModel", signature: str, inputs: Tensors, request: Request) -> Tensors:
        """What the methods return whose outputs are wanted."""
        return model.predict(signature, inputs, request.outputs)
