"""The runtime of functions that JAX exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import hookimpl, importing
from mlbuffet.tensors import Signatures, Tensors
from mlbuffet_jax._file import is_exported, unservable

if TYPE_CHECKING:
    from mlbuffet_jax._model import JaxModel


class JaxRuntime:
    """Runs functions that JAX exported."""

    concurrent_loads = True

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A function of JAX: a file with what exported.serialize() of jax.export returns"""
        try:
            return is_exported(path)
        except OSError:  # what cannot be read is no model
            return False

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """StableHLO alone, checkpoints, and damaged files."""
        try:
            return unservable(path)
        except OSError:
            return None

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> "JaxModel":
        """The function, compiled where its sizes are known."""
        if reason := unservable(path):
            raise LoadFailed(reason)
        with importing("jax"):
            from mlbuffet_jax._model import JaxModel
            from mlbuffet_jax._options import parse_options
        return JaxModel(path.read_bytes(), parse_options(options))

    @hookimpl
    def signature(self, model: "JaxModel") -> Signatures:
        """The one signature, with the names of the function's arguments and results."""
        return model.signatures

    @hookimpl
    def predict(self, model: "JaxModel", signature: str, inputs: Tensors) -> Tensors:  # noqa: ARG002 there is only one
        """All results of the function."""
        return model.predict(inputs)
