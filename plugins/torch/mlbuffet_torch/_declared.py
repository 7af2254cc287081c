"""What the options say: the inputs that a file does not describe, and the device."""

from collections.abc import Iterable

from mlbuffet.errors import InvalidOptions
from mlbuffet.tensors import TensorSpec
from mlbuffet_torch._options import Input
from mlbuffet_torch._torch import torch


def declared_specs(inputs: Iterable[Input]) -> dict[str, TensorSpec]:
    """The declared inputs by name, in order. Raises `InvalidOptions`."""
    try:
        return {
            one.name: TensorSpec(one.name, one.dtype, [None if size == -1 else size for size in one.shape])
            for one in inputs
        }
    except (TypeError, ValueError) as error:
        raise InvalidOptions(f"inputs: {error}") from None


def usable_device(name: str) -> torch.device:
    """The device of that name. Raises `InvalidOptions` where models cannot run on it."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()
    except (AssertionError, NotImplementedError, RuntimeError):
        problem = f"device {name!r} is none that PyTorch {torch.__version__} has on this machine"
        raise InvalidOptions(problem) from None
    return device
