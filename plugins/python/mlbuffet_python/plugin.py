"""The runtime of models in Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import HandleHooks, LoadContext, Request, Risk, hookimpl
from mlbuffet.tensors import Tensors
from mlbuffet_python._folder import is_model, unservable
from mlbuffet_python._uploads import check_may_run, uploads_may_run

if TYPE_CHECKING:
    from mlbuffet_python._model import PythonModel


class PythonRuntime(HandleHooks):
    """Runs models that are written in Python."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A model in Python: a folder with a model.py that imports mlbuffet_python"""
        return is_model(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """A model.py without its folder, and one that does not import mlbuffet_python."""
        return unservable(path)

    @hookimpl
    def risks(self) -> list[Risk]:
        """Whatever a program can do, unless whoever started the server allows that to uploads."""
        return [] if uploads_may_run() else [Risk("code", "model.py is a program")]

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> "PythonModel":
        """An object of the class in model.py."""
        check_may_run(context)
        if not path.is_dir():
            raise LoadFailed("it is no folder with a model.py")
        from mlbuffet_python._model import PythonModel
        from mlbuffet_python._requirements import check_requirements

        check_requirements(path)
        return PythonModel(path.absolute(), options, context)

    @hookimpl
    def predict(self, model: "PythonModel", signature: str, inputs: Tensors, request: Request) -> Tensors:
        """What the method returns."""
        return model.predict(signature, inputs, request)
