"""The options of the runtime."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mlbuffet.errors import InvalidOptions


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor that a model takes, of which its file says nothing."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """The dimensions: a size, a name, or -1 for any size."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded."""

    device: str = "cpu"
    """Where the model computes, as PyTorch names it: "cpu", "cuda", "cuda:1", "mps"."""
    inputs: tuple[Input, ...] = ()
    """The tensors that a TorchScript or compiled model takes, in their order."""
    trust_code: bool = False
    """Whether machine code and pickles in the file may run."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None
