"""A loaded model as an ONNX model, and how far its outputs and its speed are from those of the model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from timeit import Timer
from typing import Any

from mlbuffet.comparison import Difference, Tolerance, compare
from mlbuffet.errors import ConversionFailed, MLBuffetError, reason_of
from mlbuffet.model import Model
from mlbuffet.tensors import Signature

GROUP = "mlbuffet.converters"
"""Entry points of functions that convert the models of the runtime whose name they have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a converter is given: the signature ``name`` of the artifact at ``path``.

    ``options`` are those that the model was loaded with, and the defaults of others; ``opset`` is the version of ONNX's
    operators, ``None`` for the converter's own choice.
    """

    path: Path
    name: str
    signature: Signature
    options: Mapping[str, Any]
    opset: int | None = None


Converter = Callable[[Source], bytes]
"""Gives the content of an ONNX file whose inputs and outputs are those of the signature, or raises."""


def as_onnx(source: Source, runtime: str) -> bytes:
    """The ``source``, a model of ``runtime``, as the content of an ONNX file. Raises `ConversionFailed`."""
    convert = _converter_for(runtime)
    try:
        return convert(source)
    except MLBuffetError:
        raise
    except Exception as error:  # converters raise anything where there is a part that they do not know
        raise ConversionFailed("its converter cannot take it", detail=reason_of(error)) from error


def differences(
    model: Model, other: Model, samples: Iterable[Mapping[str, Any]], signature: str, tolerance: Tolerance
) -> list[Difference]:
    """The largest difference of each output over all ``samples``. Raises `InvalidInput` as `compare` does."""
    found = [compare(model, other, sample, signature=signature, tolerance=tolerance) for sample in samples]
    return [max(of_one_output, key=_size) for of_one_output in zip(*found, strict=True)]


def seconds_of_a_call(model: Model, inputs: Mapping[str, Any], signature: str) -> float:
    """How long a call takes, in the mean of as many as take a fifth of a second."""
    calls, seconds = Timer(lambda: model.predict(inputs, signature=signature)).autorange()
    return seconds / calls


def _size(difference: Difference) -> tuple[bool, float]:
    return not difference.agrees, difference.absolute or 0.0


def _converter_for(runtime: str) -> Converter:
    known = entry_points(group=GROUP)
    if runtime not in known.names:
        names = ", ".join(sorted(known.names))
        instead = f"there are converters for {names}" if names else "install some with: pip install 'mlbuffet[convert]'"
        raise ConversionFailed(f"nothing converts models of the runtime {runtime!r}; {instead}")
    try:
        convert: Converter = known[runtime].load()
    except ImportError as error:
        reason = "a package that its converter needs is missing; install it with: pip install 'mlbuffet[convert]'"
        raise ConversionFailed(reason, detail=str(error)) from error
    return convert
