"""The runtime of PyTorch models."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import HandleHooks, Risk, hookimpl, importing
from mlbuffet.tensors import Tensors
from mlbuffet_torch._file import kind_of, unservable
from mlbuffet_torch._options import Options

if TYPE_CHECKING:
    from mlbuffet_torch._model import TorchModel


class TorchRuntime(HandleHooks):
    """Runs programs of PyTorch: exported, TorchScript, and compiled ones."""

    platform = "pytorch"
    output_shapes_may_differ = True  # those of TorchScript and of compiled models were found by trying
    options = Options
    client_options = frozenset({"inputs"})

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A PyTorch model: a .pt2 file of torch.export or AOTInductor, or a .pt file of TorchScript"""
        return kind_of(path) is not None

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """Checkpoints, files of old versions, damaged ones, and models under other names."""
        return unservable(path)

    @hookimpl
    def risks(self, path: Path, options: Options) -> list[Risk]:
        """What ``trust_code`` would allow."""
        kind = kind_of(path)
        if kind is None or options.trust_code:
            return []
        with importing("torch"):
            from mlbuffet_torch._trust import risks_of
        return risks_of(path, kind)

    @hookimpl
    def load(self, path: Path, options: Options) -> "TorchModel":
        """The programs in the file."""
        kind = kind_of(path)
        if kind is None:
            raise LoadFailed(unservable(path) or "it is none of the files that PyTorch writes for programs")
        with importing("torch"):
            from mlbuffet_torch._model import TorchModel
        return TorchModel(path, kind, options)

    @hookimpl
    def predict(self, model: "TorchModel", signature: str, inputs: Tensors) -> Tensors:
        """What the program returns."""
        return model.predict(signature, inputs)
