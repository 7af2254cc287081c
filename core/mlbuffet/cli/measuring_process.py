"""The process in which one model is measured, so that its memory and its cores are its own."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mlbuffet.errors import MLBuffetError, reason_of


def run(path: str, cores: Sequence[int], report: Path) -> None:
    """Measure the model at ``path`` on ``cores``, and write a `Measurement` to ``report``, or why there is none."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # before frameworks count them
    from mlbuffet.cli.model_loading import loaded
    from mlbuffet.planning.measurement import measure
    from mlbuffet.runtimes import installed_runtimes

    try:
        with loaded(path, installed_runtimes(), None, {}) as model:
            report.write_bytes(msgspec.json.encode(measure(model, len(cores), warmup_inputs(Path(path)))))
    except MLBuffetError as error:
        report.write_bytes(msgspec.json.encode({"failure": reason_of(error)}))


def warmup_inputs(path: Path) -> dict[str, object] | None:
    """Those that the ``model.toml`` of a model gives for its default signature."""
    from mlbuffet.repository.configuration import FILE_NAME, read_configuration

    file = path / FILE_NAME if path.is_dir() else path.with_suffix(".toml")
    warmup = read_configuration(file).warmup if file.is_file() else None
    return None if warmup is None or warmup.signature is not None else warmup.inputs


if __name__ == "__main__":
    run(sys.argv[1], [int(core) for core in sys.argv[2].split(",")], Path(sys.argv[3]))
