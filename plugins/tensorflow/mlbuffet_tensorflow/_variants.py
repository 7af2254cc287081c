"""Several traces of one function behind one name, where dtypes and shapes of the inputs tell them apart."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import Shape, Signature, Tensors, TensorSpec, shape_text, specs_text

Call = Callable[[Tensors], dict[str, NDArray[Any]]]

_EXACT_FIRST = "biufVcO"  # kinds of numpy, V for bfloat16: numbers without a dtype go to the first that holds them


def merged(signatures: Sequence[Signature]) -> Signature | None:
    """One signature for all of them, or None where a call may mean several.

    Where their shapes differ, its are free; where their dtypes differ, it has a variant for each.
    """
    by_dtypes: dict[tuple[np.dtype[Any], ...], list[Signature]] = {}
    for signature in signatures:
        by_dtypes.setdefault(_dtypes(signature.inputs), []).append(signature)
    forms = [_merged_shapes(alike) for alike in by_dtypes.values()]
    known = [form for form in forms if form is not None]
    if len(known) < len(forms) or any(_names(form) != _names(known[0]) for form in known):
        return None
    return known[0] if len(known) == 1 else Signature.of_variants(sorted(known, key=_precedence))


def choosing(variants: Sequence[tuple[Signature, Call]]) -> Call:
    """A call of the trace that the inputs fit, of several the one that takes least besides."""
    ordered = sorted(variants, key=lambda variant: sum(map(_freedom, variant[0].inputs.values())))

    def call(inputs: Tensors) -> dict[str, NDArray[Any]]:
        for signature, run in ordered:
            if _fits(signature, inputs):
                return run(inputs)
        raise InvalidInput(_no_variant([signature for signature, _ in variants], inputs))

    return call


def _merged_shapes(signatures: Sequence[Signature]) -> Signature | None:
    """Of traces for the same dtypes."""
    first = signatures[0]
    alike = all((_names(each), _dtypes(each.outputs)) == (_names(first), _dtypes(first.outputs)) for each in signatures)
    if not alike or any(_confusable(one, other) for one, other in combinations(signatures, 2)):
        return None
    return Signature(
        _free([each.inputs for each in signatures]), _free([each.outputs for each in signatures]), first.method
    )


def _precedence(signature: Signature) -> list[tuple[int, int]]:
    return [(_EXACT_FIRST.index(dtype.kind), dtype.itemsize) for dtype in _dtypes(signature.inputs)]


def _names(signature: Signature) -> tuple[list[str], list[str]]:
    return list(signature.inputs), list(signature.outputs)


def _dtypes(specs: Mapping[str, TensorSpec]) -> tuple[np.dtype[Any], ...]:
    return tuple(spec.dtype for spec in specs.values())


def _confusable(one: Signature, other: Signature) -> bool:
    """Whether inputs may fit both, and neither takes only what the other takes too."""
    pairs = [(spec.shape, other.inputs[name].shape) for name, spec in one.inputs.items()]
    if not all(_overlap(a, b) for a, b in pairs):
        return False
    within = all(_within(a, b) for a, b in pairs)
    around = all(_within(b, a) for a, b in pairs)
    return within == around


def _overlap(one: Shape, other: Shape) -> bool:
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))


def _within(one: Shape, other: Shape) -> bool:
    """Whether all that fits ``one`` fits ``other``."""
    if other is None or one is None:
        return other is None
    return len(one) == len(other) and all(b is None or a == b for a, b in zip(one, other, strict=True))


def _freedom(spec: TensorSpec) -> int:
    """More than that of every shape that fits it: a rank that is free outweighs any number of free dimensions."""
    return 1000 if spec.shape is None else spec.shape.count(None)


def _free(sides: Sequence[Mapping[str, TensorSpec]]) -> list[TensorSpec]:
    return [
        TensorSpec(name, spec.dtype, _union([side[name].shape for side in sides])) for name, spec in sides[0].items()
    ]


def _union(shapes: Sequence[Shape]) -> Shape:
    ranks = {None if shape is None else len(shape) for shape in shapes}
    if None in ranks or len(ranks) > 1:
        return None
    columns = zip(*(shape for shape in shapes if shape is not None), strict=True)
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in columns)


def _fits(signature: Signature, inputs: Tensors) -> bool:
    return all(
        inputs[name].dtype == spec.dtype and spec.accepts_shape(inputs[name].shape)
        for name, spec in signature.inputs.items()
    )


def _no_variant(signatures: Sequence[Signature], inputs: Tensors) -> str:
    came = ", ".join(f"{name} {shape_text(array.shape)}" for name, array in inputs.items())
    takes = " or ".join(specs_text(signature.inputs) for signature in signatures)
    return f"the inputs have the shapes {came}; the function was saved for {takes}"
