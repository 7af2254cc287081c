"""Which signatures give the same outputs for a row, whatever other rows are in its batch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.comparison import Tolerance, difference, random_inputs
from mlbuffet.conversion import kind_of
from mlbuffet.errors import InvalidInput, LoadFailed, PredictFailed
from mlbuffet.model import Model
from mlbuffet.scheduling.rows import has_rows, row_count
from mlbuffet.tensors import Signature, Tensors, TensorSpec

_ORDER = [2, 0, 1]  # of three rows, none at its place


def forms(signature: Signature) -> list[Signature]:
    """The sets of inputs whose calls may share batches: those that are required, and with them the optional ones.

    An optional input without a first axis of any size, such as a weight, is in none.
    """
    declared = signature.inputs.values()
    if not any(spec.optional for spec in declared):
        return [signature]
    required = [spec for spec in declared if not spec.optional]
    with_rows = [replace(spec, optional=False) for spec in declared if not spec.optional or _has_rows(spec)]
    sets = [required] if required == with_rows or not with_rows else [required, with_rows]
    return [signature.with_inputs(inputs) for inputs in sets]


def check_rows_independent(
    model: Model, name: str, signature: Signature, samples: Mapping[str, Any] | None = None
) -> None:
    """Raises `LoadFailed` with the reason where calls of ``signature``, called ``name``, must not share a batch.

    Three rows are predicted one by one, then as one batch, and in another order. The rows are random, or those of
    ``samples``. Numbers may differ in their last bits: matrices of another size are multiplied in another order.
    """
    for spec in [*signature.inputs.values(), *signature.outputs.values()]:
        if not _has_rows(spec):
            raise _unfit(model, name, f"{spec} has no first axis of any size")
    if not signature.inputs or not signature.outputs:
        raise _unfit(model, name, "it has no inputs or no outputs")
    shapes = [spec.shape or () for spec in signature.inputs.values()]
    if inner := {shape[0] for shape in shapes} & {size for shape in shapes for size in shape[1:] if size is not None}:
        raise _unfit(model, name, f"its rows are the dimension {inner.pop()!r}, which is an inner one as well")
    try:
        rows = random_inputs(signature, seed=0) if samples is None else _three_rows(signature, samples)
        alone = [model.predict(_picked(rows, [row]), signature=name) for row in range(len(_ORDER))]
        together = model.predict(rows, signature=name)
        moved = model.predict(_picked(rows, _ORDER), signature=name)
    except (InvalidInput, PredictFailed) as error:
        problem = "it cannot be tried: it fails at random rows; give it three that it takes as inputs of [warmup]"
        raise _unfit(model, name, problem if samples is None else error.public, str(error)) from error
    if not (all(has_rows(one, 1) for one in alone) and has_rows(together, 3) and has_rows(moved, 3)):
        raise _unfit(model, name, "it does not give a row for each row")
    for output in signature.outputs:
        expected = np.concatenate([one[output] for one in alone])
        for got in (together[output], moved[output][np.argsort(_ORDER)]):
            if not difference(output, expected, output, got, _tolerance(expected)).agrees:
                raise _unfit(model, name, f"output {output!r} of a row depends on the rows beside it, or on chance")


def _has_rows(spec: TensorSpec) -> bool:
    return spec.sizes is not None and spec.sizes[:1] == (None,)


def _three_rows(signature: Signature, samples: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    arrays = signature.check_inputs({name: samples[name] for name in signature.inputs if name in samples})
    if row_count(arrays) < len(_ORDER):
        raise InvalidInput("it cannot be tried: the inputs of [warmup] are not three rows or more")
    return _picked(arrays, range(len(_ORDER)))


def _picked(inputs: Tensors, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
    return {name: array[list(rows)] for name, array in inputs.items()}


def _tolerance(expected: NDArray[Any]) -> Tolerance:
    if kind_of(expected.dtype) not in "fc":
        return Tolerance(absolute=0, relative=0)
    part = max(1e-4, float(ml_dtypes.finfo(expected.dtype).eps) ** 0.5)  # type: ignore[no-untyped-call]
    magnitudes = np.abs(expected.astype(np.complex128))
    return Tolerance(absolute=part * float(magnitudes.max(initial=0, where=np.isfinite(magnitudes))), relative=part)


def _unfit(model: Model, name: str, problem: str, detail: str | None = None) -> LoadFailed:
    reason = f"[batching]: calls of signature {name!r} cannot be batched: {problem}"
    return LoadFailed(reason, path=model.path, runtime=model.runtime.name, detail=detail)
