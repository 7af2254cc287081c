"""A loaded model: its signatures and its predictions."""

from pathlib import Path

from mlbuffet.errors import InvalidOptions
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signatures, Tensors
from mlbuffet_torch._declared import declared_specs, usable_device
from mlbuffet_torch._file import Kind, check_whole
from mlbuffet_torch._function import Function
from mlbuffet_torch._options import Options
from mlbuffet_torch._trust import check


class TorchModel:
    """The handle of the model at ``path``. Creating it raises `InvalidOptions`, `LoadFailed`, or PyTorch's errors."""

    def __init__(self, path: Path, kind: Kind, options: Options) -> None:
        check_whole(path)
        if not options.trust_code:
            check(path, kind)
        self._functions = _by_signature(_functions(path, kind, options))
        self.concurrency = min((one.concurrency for one in self._functions.values() if one.concurrency), default=None)
        default = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in self._functions else None
        reason = "" if default else "the file holds several programs, of which none is called 'model'; name one"
        signatures = {name: function.signature for name, function in self._functions.items()}
        self.signatures = Signatures(signatures, default, default_reason=reason)

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``. Raises `InvalidInput`, or an error of PyTorch."""
        return self._functions[signature](inputs)


def _functions(path: Path, kind: Kind, options: Options) -> dict[str, Function]:
    """What the file holds, by the names in it. What a kind needs of PyTorch is imported with it."""
    device, declared = usable_device(options.device), declared_specs(options.inputs)
    match kind:
        case "script":
            from mlbuffet_torch._script import script_function

            return {"model": script_function(path, declared, device)}
        case "compiled":
            from mlbuffet_torch._compiled import compiled_function

            return {"model": compiled_function(path, declared, device)}
    if declared:
        raise InvalidOptions("a program of torch.export says what it takes; leave out inputs")
    from mlbuffet_torch._exported import exported_functions

    return exported_functions(path, device)


def _by_signature(functions: dict[str, Function]) -> dict[str, Function]:
    """``functions`` by the names of signatures: the only one, or the one called "model", answers by default."""
    if len(functions) == 1:
        return dict.fromkeys([DEFAULT_SIGNATURE], *functions.values())
    return {DEFAULT_SIGNATURE if name == "model" else name: function for name, function in functions.items()}
