"""The runtime of functions that JAX exported."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.hookspecs import HandleHooks, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_jax._file import is_exported, unservable
from mlbuffet_jax._options import Options

if TYPE_CHECKING:
    from mlbuffet_jax._model import JaxModel


class JaxRuntime(HandleHooks):
    """Runs functions that JAX exported."""

    concurrent_loads = True
    options = Options
    client_options = frozenset({"compile_sizes", "max_compiled"})

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A function of JAX: a file with what exported.serialize() of jax.export returns"""
        return is_exported(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """StableHLO alone, checkpoints, and damaged files."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, options: Options) -> "JaxModel":
        """The function, compiled where its sizes are known."""
        with importing("jax"):
            from mlbuffet_jax._model import JaxModel
        return JaxModel(path.read_bytes(), options)

    @hookimpl
    def predict(self, model: "JaxModel", signature: str, inputs: Tensors) -> Tensors:  # noqa: ARG002 there is only one
        """All results of the function."""
        return model.predict(inputs)
