"""What signatures classify and regress, and their outputs as results.

Which those are is TensorFlow Serving's rule for models of TensorFlow 2, whose signatures have no method of their own
(servables/tensorflow/classifier.cc and regressor.cc): the names of the tensors count.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mlbuffet.conversion import dtype_name
from mlbuffet.errors import InvalidInput
from mlbuffet.server.protocols.tensorflow_serving.responses import encode_values
from mlbuffet.tensors import Shape, Signature, Tensors, shape_text, specs_text

INPUT = "inputs"
"""The name of the only input, which takes serialized tf.Examples."""

CLASSES, SCORES, VALUES = "classes", "scores", "outputs"


def outputs_of_classifier(signature: Signature, name: str) -> list[str]:
    """The outputs to ask for, or `InvalidInput` where the signature called ``name`` is not a classifier."""
    found = [output for output in (CLASSES, SCORES) if output in signature.outputs]
    fits = bool(found) and len(signature.outputs) <= 2
    _check(signature, name, "classify", f"gives {CLASSES!r}, {SCORES!r} or both", fits=fits)
    return found


def outputs_of_regressor(signature: Signature, name: str) -> list[str]:
    """The output to ask for, or `InvalidInput` where the signature called ``name`` is not a regressor."""
    _check(signature, name, "regress", f"gives {VALUES!r} alone", fits=list(signature.outputs) == [VALUES])
    return [VALUES]


def encode_classes(outputs: Tensors, count: int) -> bytes:
    """``{"results": [[[label, score], ...], ...]}`` for ``count`` examples; a label may be empty, a score 0."""
    results = [
        [list(pair) for pair in zip(labels, _numbers(scores), strict=True)]
        for labels, scores in classes_of(outputs, count)
    ]
    return orjson.dumps({"results": results}, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_regressions(outputs: Tensors, count: int) -> bytes:
    """``{"results": [value, ...]}`` for ``count`` examples."""
    return orjson.dumps({"results": encode_values(regressions_of(outputs, count), VALUES)})


def classes_of(outputs: Tensors, count: int) -> Iterator[tuple[list[str], NDArray[Any]]]:
    """For each of ``count`` examples its labels, and their scores; a label may be empty, a score 0."""
    for name, array in outputs.items():
        dtype = np.dtype(object if name == CLASSES else np.float32)
        if array.dtype != dtype or array.ndim != 2 or len(array) != count:
            raise _no_results(array, name, dtype, (count, None))
    shape = next(iter(outputs.values())).shape
    scores = outputs.get(SCORES, np.zeros(shape, np.float32))
    labels = outputs.get(CLASSES, np.full(shape, b"", object))
    if labels.shape != scores.shape:
        raise InvalidInput(f"the model gives classes of shape {labels.shape} and scores of shape {scores.shape}")
    return zip(map(_texts, labels), scores, strict=True)


def regressions_of(outputs: Tensors, count: int) -> NDArray[Any]:
    """The value of each of ``count`` examples."""
    array = outputs[VALUES]
    if array.dtype != np.float32 or array.shape not in ((count,), (count, 1)):
        raise _no_results(array, VALUES, np.dtype(np.float32), (count,))
    return array.reshape(count)


def _check(signature: Signature, name: str, verb: str, rule: str, *, fits: bool) -> None:
    specs = signature.outputs
    required = [(spec.name, spec.dtype.kind) for spec in signature.inputs.values() if not spec.optional]
    if fits and required != [(INPUT, "O")]:
        fits, rule, specs = False, f"takes {INPUT!r} alone, serialized tf.Examples as bytes", signature.inputs
    if not fits:
        has = specs_text(specs)
        raise InvalidInput(f"signature {name!r} cannot {verb}: one that does {rule}, and this has {has}")


def _no_results(array: NDArray[Any], name: str, dtype: np.dtype[Any], shape: Shape) -> InvalidInput:
    return InvalidInput(
        f"the model gives {name!r} as {dtype_name(array.dtype)} of shape {array.shape}; "
        f"results of these examples are {dtype_name(dtype)} of shape {shape_text(shape)}"
    )


def _texts(labels: NDArray[Any]) -> list[str]:
    try:
        return [label.decode() for label in labels]
    except UnicodeDecodeError:
        raise InvalidInput(f"output {CLASSES!r} holds bytes that are not UTF-8, which are no labels") from None


def _numbers(scores: NDArray[Any]) -> list[Any]:
    """Elements that orjson writes as it should: of NaN and infinities it would make null."""
    if np.isfinite(scores).all():
        return list(scores)
    return [encode_values(scores[index, ...], SCORES) for index in range(len(scores))]
