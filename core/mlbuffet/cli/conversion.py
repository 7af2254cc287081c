"""What ``mlbuffet convert`` does: convert a model, compare the two, write what agrees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from mlbuffet.comparison import Difference, Tolerance, random_inputs
from mlbuffet.converting import Source, as_onnx, differences, seconds_of_a_call
from mlbuffet.errors import ConversionFailed, LoadFailed
from mlbuffet.loading import load_from
from mlbuffet.model import Model
from mlbuffet.runtime_choice import Preference
from mlbuffet.runtimes import installed_runtimes
from mlbuffet.tensors import Signature

_SAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Report:
    """Both runtimes, the seconds of a call of each, the differences, and the file if they are small enough."""

    runtimes: Sequence[str]
    seconds: Sequence[float]
    outputs: Sequence[Difference]
    written: Path | None


def check_target(target: Path) -> None:
    """Raises `typer.BadParameter` for what no ONNX model can be written to."""
    if target.suffix != ".onnx":
        raise typer.BadParameter(f"'{target}' must end in .onnx")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"there is no folder '{target.parent}'; make it")


def samples_for(signature: Signature, seed: int) -> list[Mapping[str, Any]]:
    """Random inputs to compare the models on."""
    return [random_inputs(signature, seed + number) for number in range(_SAMPLES)]


def converted(
    model: Model,
    source: Source,
    target: Path,
    *,
    samples: Sequence[Mapping[str, Any]],
    tolerance: Tolerance,
    prefer: Preference | None,
) -> Report:
    """Convert the ``source`` of ``model``, and write it to ``target`` where both agree on all ``samples``.

    Raises `ConversionFailed`, and `InvalidInput` where the outputs cannot be paired.
    """
    content = as_onnx(source, model.runtime.name)
    with TemporaryDirectory(dir=target.parent, prefix=".mlbuffet-") as folder:
        file = Path(folder, target.name)
        file.write_bytes(content)
        with _loaded(file, prefer) as other:
            outputs = differences(model, other, samples, source.name, tolerance)
            asked = (model, source.name), (other, other.signatures.resolve(None))
            seconds = [seconds_of_a_call(one, samples[0], signature) for one, signature in asked]
            runtimes = [one.runtime.name for one, _ in asked]
        agree = all(output.agrees for output in outputs)
        if agree:
            file.replace(target)
    return Report(runtimes=runtimes, seconds=seconds, outputs=outputs, written=target if agree else None)


def _loaded(file: Path, prefer: Preference | None) -> Model:
    try:
        return load_from(file, installed_runtimes(), prefer)
    except LoadFailed as error:
        reason = "its converter knows no counterpart of a part of it, and what it wrote cannot be loaded"
        raise ConversionFailed(reason, detail=(error.detail or error.reason).partition("\n")[0]) from error
