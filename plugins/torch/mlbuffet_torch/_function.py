"""One function of a model, called with named arrays."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import Signature, Tensors, shapes_text
from mlbuffet_torch._arrays import array_of
from mlbuffet_torch._torch import torch

_OF_INPUTS = re.compile(
    r"shapes cannot be multiplied|must match the (?:existing )?size|[Ss]izes? .*must match|size mismatch|"
    r"[Ee]xpected (?:tensor for argument|size|.*input)|is invalid for input of size|"
    r"Kernel size can't be greater|index out of range|out of bounds|must have the same dtype|expected scalar type"
)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a function is given in one place: what ``read`` makes of the input ``name``, or the ``default``."""

    name: str
    read: Callable[[NDArray[Any]], Any]
    default: Any = None


@dataclass(frozen=True, slots=True)
class Function:
    """Takes its arguments in order; gives values, of which those at ``positions`` are the outputs."""

    signature: Signature
    arguments: Sequence[Argument]
    compute: Callable[[list[Any]], Sequence[Any]]
    positions: Sequence[int]
    concurrency: int | None = None
    """How many calls it computes at once, where there is a limit."""

    def __call__(self, inputs: Tensors) -> Tensors:
        """All outputs. Raises `InvalidInput`, or an error of PyTorch."""
        given = arguments_from(self.arguments, inputs)
        try:
            with torch.inference_mode():
                values = self.compute(given)
        except (AssertionError, IndexError, RuntimeError) as error:
            if invalid := _invalid_input(last_line(error), inputs):
                raise invalid from error
            raise
        outputs = self.signature.outputs.items()
        return {
            name: array_of(values[place], spec.dtype)
            for (name, spec), place in zip(outputs, self.positions, strict=True)
        }


def arguments_from(arguments: Sequence[Argument], inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
    """What a function is called with."""
    return [
        argument.read(inputs[argument.name]) if argument.name in inputs else argument.default for argument in arguments
    ]


def last_line(error: Exception) -> str:
    """What is wrong, without TorchScript's traceback before it."""
    return str(error).rpartition("Error: ")[2].strip()


def _invalid_input(text: str, inputs: Tensors) -> InvalidInput | None:
    """An error of PyTorch as an `InvalidInput`, if it is due to the inputs."""
    if rule := re.match(r"Guard failed: (.*)", text):
        return InvalidInput(f"the model was exported for inputs with {rule[1]}")
    if unfit := re.match(r"input_handles\[(\d+)\]: (.*)", text):
        return InvalidInput(f"input {list(inputs)[int(unfit[1])]!r} does not fit the compiled model: {unfit[2]}")
    if not _OF_INPUTS.search(text) and all(array.size for array in inputs.values()):
        return None
    problem = "a value is out of its range, or sizes or dtypes do not go together"
    return InvalidInput(f"the model cannot take the inputs {shapes_text(inputs)}: {problem}", detail=text)
