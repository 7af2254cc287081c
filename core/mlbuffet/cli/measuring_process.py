"""The process in which one model is measured, so that its memory and its cores are its own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

from mlbuffet.errors import MLBuffetError, reason_of


def run(job: dict[str, Any], reports: IO[bytes]) -> None:
    """Measure as a `mlbuffet.cli.measuring.Job` says, and write lines of JSON.

    They say what is being done, and the last one what was ``measured``, or why nothing was (``failure``).
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])  # before frameworks count them

    def write(kind: str, value: object) -> None:
        reports.write(msgspec.json.encode({kind: value}) + b"\n")
        reports.flush()

    try:
        write("measured", _measured(job, lambda text: write("doing", text)))
    except MLBuffetError as error:
        write("failure", reason_of(error))


def _measured(given: dict[str, Any], tell: Callable[[str], None]) -> object:
    from mlbuffet.cli.measuring import Job, configuration_of, warmup_inputs
    from mlbuffet.cli.model_loading import loaded
    from mlbuffet.planning.measurement import measure
    from mlbuffet.planning.tuning import try_settings
    from mlbuffet.runtimes import installed_runtimes

    job = msgspec.convert(given, Job)
    path = Path(job.path)
    configuration, samples = configuration_of(path), warmup_inputs(path)
    of_file = configuration if path.is_file() else None  # that of a folder is read by whoever loads it
    options = {**(of_file.options if of_file else {}), **job.options}
    with loaded(path, installed_runtimes(), of_file.runtime if of_file else None, options) as model:
        if job.wanted is None:
            return measure(model, len(job.cores), samples)
        return try_settings(
            model,
            job.wanted,
            cores=len(job.cores),
            scheduling=configuration.scheduling,
            batching=configuration.batching,
            samples=samples,
            tell=tell,
        )


if __name__ == "__main__":
    with open(int(sys.argv[2]), "wb") as file:  # noqa: PTH123 a descriptor
        run(msgspec.json.decode(sys.argv[1]), file)
