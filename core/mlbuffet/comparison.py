"""The differences of two models' outputs for the same inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import ML_INTEGERS, dtype_name, kind_of
from mlbuffet.errors import InvalidInput, UnknownSignature
from mlbuffet.model import Model
from mlbuffet.tensors import Signature, TensorSpec, shape_text, specs_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """Floats agree where ``|a - b| <= absolute + relative * |a|``; integers, bools and text where they are equal."""

    absolute: float = 1e-5
    relative: float = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The difference between ``output`` of one model and ``other`` of another.

    ``absolute`` and ``relative`` are the largest differences of two elements, the latter as part of the larger of them;
    they are ``None`` for text and for different shapes, and then ``reason`` says so.
    """

    output: str
    other: str
    absolute: float | None = None
    relative: float | None = None
    agrees: bool = False
    reason: str = ""


def compare(
    model: Model,
    other: Model,
    inputs: Mapping[str, Any],
    *,
    signature: str | None,
    other_signature: str | None = None,
    tolerance: Tolerance,
) -> list[Difference]:
    """The differences between the outputs of ``model`` and ``other`` for ``inputs``, which are named as in ``model``.

    Of ``other``, ``other_signature`` is called, else the signature of the same name, else its default. Its inputs and
    outputs are paired by name, or in order where the names differ. Raises `InvalidInput` where they cannot be paired.
    """
    name = model.signatures.resolve(signature)
    try:
        other_name = other.signatures.resolve(other_signature or (name if name in other.signatures else None))
    except UnknownSignature as error:
        raise InvalidInput(f"of the model to compare with, {error}") from error
    ours, theirs = model.signatures[name].variant_for(inputs), other.signatures[other_name]
    arrays = ours.check_inputs(inputs)
    given = {name: ours.inputs[name] for name in arrays}
    taken = {name: spec for name, spec in theirs.inputs.items() if name in given or not spec.optional}
    theirs_by_ours = _paired(given, taken, "inputs")
    results = model.predict(arrays, signature=name)
    other_inputs = {}
    for one, two in theirs_by_ours.items():
        array, dtype = arrays[one], theirs.inputs[two].dtype
        other_inputs[two] = array.astype(dtype) if kind_of(array.dtype) == kind_of(dtype) else array
    other_results = other.predict(other_inputs, signature=other_name)
    pairs = _paired(ours.outputs, theirs.outputs, "outputs")
    return [difference(one, results[one], two, other_results[two], tolerance) for one, two in pairs.items()]


def random_inputs(signature: Signature, seed: int) -> dict[str, NDArray[Any]]:
    """Inputs that fit ``signature``, the same ones for the same ``seed``; every free dimension has size 3.

    So those of one name are equal. What is optional is left out.
    Floats are normally distributed, integers from 0 to 9 or to the largest there is, text is a few letters.
    """
    generator = np.random.default_rng(seed)
    return {spec.name: _random(spec, generator) for spec in signature.inputs.values() if not spec.optional}


def _random(spec: TensorSpec, generator: "np.random.Generator") -> NDArray[Any]:
    shape = [3 if size is None else size for size in (spec.sizes if spec.sizes is not None else (None,))]
    match kind_of(spec.dtype):
        case "O":
            letters = generator.integers(97, 123, [*shape, 4]).astype(np.uint8)
            return letters.view("S4").reshape(shape).astype(object)
        case "b":
            return generator.integers(0, 2, shape).astype(np.bool_)
        case "i":
            _, largest = ML_INTEGERS.get(spec.dtype, (0, 9))
            return generator.integers(0, min(largest, 9) + 1, shape).astype(spec.dtype)
        case "c":
            return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(spec.dtype)
        case _:
            numbers = generator.normal(size=shape)
            unsigned = np.isnan(numbers.astype(spec.dtype)).any()  # one type has no sign
            return (np.abs(numbers) if unsigned else numbers).astype(spec.dtype)


def _paired(ours: Mapping[str, TensorSpec], theirs: Mapping[str, TensorSpec], what: str) -> dict[str, str]:
    if ours.keys() == theirs.keys():
        return {name: name for name in ours}
    if len(ours) != len(theirs):
        raise InvalidInput(f"the models differ in their {what}: {specs_text(ours)}; and {specs_text(theirs)}")
    return dict(zip(ours, theirs, strict=True))


def difference(ours: str, array: NDArray[Any], theirs: str, other: NDArray[Any], tolerance: Tolerance) -> Difference:
    """The difference between ``array``, the output ``ours``, and ``other``, the output ``theirs``."""
    result = partial(Difference, output=ours, other=theirs)
    kinds = {kind_of(array.dtype), kind_of(other.dtype)}
    if array.shape != other.shape:
        return result(reason=f"shapes {shape_text(array.shape)} and {shape_text(other.shape)}")
    if kinds == {"O"}:
        count = int((array != other).sum())
        return result(agrees=not count, reason=f"{count} of {array.size} texts differ" if count else "the same text")
    if "O" in kinds:
        return result(reason=f"{dtype_name(array.dtype)} and {dtype_name(other.dtype)}")
    absolute, relative, agrees = _numeric_difference(array, other, tolerance)
    reason = ""
    if kinds <= {"i", "b"} and (count := int((array != other).sum())):
        agrees = False
        reason = f"{count} of {array.size} differ, and {dtype_name(array.dtype)} must be equal"
    return result(absolute=absolute, relative=relative, agrees=agrees, reason=reason)


def _numeric_difference(array: NDArray[Any], other: NDArray[Any], tolerance: Tolerance) -> tuple[float, float, bool]:
    """The largest absolute and relative differences, and whether all are within ``tolerance``."""
    wide = np.complex128 if "c" in (array.dtype.kind, other.dtype.kind) else np.float64
    one, two = array.astype(wide), other.astype(wide)
    same = (one == two) | (np.isnan(one) & np.isnan(two))  # infinities, and NaN that both models give
    comparable = np.isfinite(one) & np.isfinite(two)
    apart = np.abs(np.subtract(one, two, out=np.zeros_like(one), where=comparable))
    larger = np.maximum(np.abs(one), np.abs(two))
    part = np.divide(apart, larger, out=np.zeros_like(apart), where=comparable & (larger > 0))
    limit = tolerance.absolute + tolerance.relative * np.abs(one, out=np.zeros_like(apart), where=comparable)
    unlike = ~comparable & ~same  # a number and NaN, or infinities of both signs: the difference is infinite
    absolute, relative = (float(np.where(unlike, np.inf, each).max(initial=0.0)) for each in (apart, part))
    return absolute, relative, bool(np.all(~unlike & (apart <= limit)))
