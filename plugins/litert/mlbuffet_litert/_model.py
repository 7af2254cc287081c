"""A loaded model: its signatures and its predictions."""

import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec, shapes_text
from mlbuffet_litert._interpreter import Details, Function, functions
from mlbuffet_litert._options import Options
from mlbuffet_litert._stderr import without_greeting


class LiteRTModel:
    """The handle of the model in a file with ``content``. Creating it raises `LoadFailed`."""

    def __init__(self, content: bytes, options: Options) -> None:
        self._content, self._options = content, options
        with without_greeting():
            first = self._interpreter()
        self._free = deque([first])
        signatures = {name: Signature(_specs(one.inputs), _specs(one.outputs)) for name, one in first.items()}
        default, reason = _default(signatures)
        self.signatures = Signatures(signatures, default, default_reason=reason)

    @property
    def concurrency(self) -> int:
        """How many calls fill the cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self._options.num_threads)

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs by name. Raises `InvalidInput`, or an error of LiteRT.

        An interpreter runs one call at a time: there are as many as calls have ever run at once.
        """
        try:
            interpreter = self._free.pop()
        except IndexError:
            interpreter = self._interpreter()
        try:
            outputs = interpreter[signature].call(**inputs)
        except RuntimeError as error:  # and the interpreter is not used again
            if invalid := _invalid_input(error, inputs):
                raise invalid from error
            raise
        self._free.append(interpreter)
        return {name: _array(value) for name, value in outputs.items()}

    def _interpreter(self) -> dict[str, Function]:
        return functions(self._content, self._options.num_threads)


def _default(signatures: Iterable[str]) -> tuple[str | None, str]:
    """The signature of calls that name none, and why it is that one, or none is."""
    names = list(signatures)
    if DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE, ""
    if len(names) == 1:
        return names[0], "it is the only one"
    return None, f"there are several, and none is called {DEFAULT_SIGNATURE}; name one"


def _specs(tensors: Details) -> list[TensorSpec]:
    return [_spec(name, details) for name, details in tensors.items()]


def _spec(name: str, details: Mapping[str, Any]) -> TensorSpec:
    dtype = np.dtype(object if details["dtype"] is np.bytes_ else details["dtype"])
    shape = [None if size < 0 else int(size) for size in details["shape_signature"]]
    return TensorSpec(name, dtype, shape, description=_quantization(details["quantization_parameters"]))


def _quantization(parameters: Mapping[str, Any]) -> str:
    """What the integers of a quantised tensor stand for."""
    scales, zeros = parameters["scales"].tolist(), parameters["zero_points"].tolist()
    return f"quantised: q stands for {scales[0]:.7g} * (q {-zeros[0]:+})" if len(scales) == len(zeros) == 1 else ""


def _array(value: Any) -> NDArray[Any]:
    """An output as an array; LiteRT gives a scalar as one of numpy or as ``bytes``."""
    return value if isinstance(value, np.ndarray) else np.array(value, object if isinstance(value, bytes) else None)


def _invalid_input(error: RuntimeError, inputs: Tensors) -> InvalidInput | None:
    """``error`` as an `InvalidInput`, if an operator refuses what comes of the inputs."""
    if not (match := re.search(r"\((\w+)\) failed to (?:prepare|invoke)", str(error))):
        return None
    return InvalidInput(
        f"the model's operator {match[1]} cannot take what comes of the inputs {shapes_text(inputs)}; "
        "a value is out of its range, or sizes do not go together",
        detail=str(error),
    )
