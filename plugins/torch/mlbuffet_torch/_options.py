"""The options of the runtime."""

import msgspec


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor that a model takes, of which its file says nothing."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    """The dimensions: a size, a name, or -1 for any size."""


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    device: str = "cpu"
    """Where the model computes, as PyTorch names it: "cpu", "cuda", "cuda:1", "mps"."""
    inputs: tuple[Input, ...] = ()
    """The tensors that a TorchScript or compiled model takes, in their order."""
    trust_code: bool = False
    """Whether machine code, pickles and Python code in the file may run."""
