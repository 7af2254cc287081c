"""What a function gives, found by calling it, where its file does not say."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import TensorSpec
from mlbuffet_torch._function import Argument, arguments_from, last_line
from mlbuffet_torch._names import named_leaves, output_dtype
from mlbuffet_torch._torch import torch

_SIZES = (((2, 2), (3, 3)), ((2, 32), (3, 64)), ((32, 32), (64, 64)), ((2, 224), (3, 256)))
"""Pairs of calls: the sizes of first dimensions and of others, where they are not declared."""


def tried_outputs(
    specs: Sequence[TensorSpec], arguments: Sequence[Argument], compute: Callable[[list[Any]], Any]
) -> list[TensorSpec | None]:
    """The outputs by calls with zeros, ``None`` for one that has no value. Raises `LoadFailed` where all calls fail.

    A size is declared where two calls with different sizes of the inputs have it.
    """
    failure: Exception | None = None
    for pair in _SIZES:
        names: list[dict[str, int]] = [{}, {}]
        try:
            calls = [
                _called(specs, arguments, compute, *sizes, known) for sizes, known in zip(pair, names, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 the code of a model may raise anything
            failure = failure or error
            continue
        return [_spec(name, value, other, names) for (name, value), (_, other) in zip(*calls, strict=True)]
    taken = ", ".join(map(str, specs))
    reason = f"it fails when it is tried with zeros for {taken}; make the option inputs say what it takes"
    raise LoadFailed(reason, detail=last_line(failure) if failure else None) from failure


def _called(
    specs: Sequence[TensorSpec],
    arguments: Sequence[Argument],
    compute: Callable[[list[Any]], Any],
    first: int,
    others: int,
    known: dict[str, int],
) -> list[tuple[str, Any]]:
    inputs = {spec.name: _zeros(spec, first, others, known) for spec in specs if not spec.optional}
    with torch.inference_mode():
        return named_leaves(compute(arguments_from(arguments, inputs)))


def _zeros(spec: TensorSpec, first: int, others: int, known: dict[str, int]) -> NDArray[Any]:
    shape = []
    for axis, size in enumerate(spec.shape or ()):
        free = others if axis else first
        shape.append(size if isinstance(size, int) else known.setdefault(size, free) if size else free)
    return np.full(shape, b"", object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)


def _spec(name: str, value: Any, other: Any, names: list[dict[str, int]]) -> TensorSpec | None:
    if value is None:
        return None
    shapes = zip(np.shape(value), np.shape(other), strict=True)
    return TensorSpec(name, output_dtype(name, value), [_dimension(*pair, *names) for pair in shapes])


def _dimension(size: int, other: int, names: dict[str, int], others: dict[str, int]) -> int | str | None:
    if size == other:
        return size or None
    called = [name for name in names if (names[name], others[name]) == (size, other)]
    return called[0] if len(called) == 1 else None
