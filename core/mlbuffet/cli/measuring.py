"""The measurement of a model in a process of its own, and what its ``model.toml`` says for it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mlbuffet.errors import LoadFailed
from mlbuffet.planning.tuning import Wanted
from mlbuffet.repository.configuration import FILE_NAME, Configuration, read_configuration
from mlbuffet.repository.layout import configuration_beside

T = TypeVar("T")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    path: str
    cores: list[int]
    options: dict[str, Any] = {}
    """Before those of ``model.toml``."""
    wanted: Wanted | None = None
    """The settings to try; ``None``: what the model takes is measured."""


def cores_here() -> list[int]:
    """The numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def measured(job: Job, kind: type[T], tell: Callable[[str], None] = lambda _: None) -> T:
    """What the process measured, as a ``kind``. Raises `LoadFailed`."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "mlbuffet.cli.measuring_process", msgspec.json.encode(job).decode(), str(writing)]
    found: dict[str, Any] = {}
    with (
        open(reading, "rb") as reports,  # noqa: PTH123 a descriptor
        subprocess.Popen(command, stdout=subprocess.DEVNULL, pass_fds=[writing]) as process,  # noqa: S603 ours
    ):
        os.close(writing)
        for line in reports:
            found = msgspec.json.decode(line)
            if "doing" not in found:
                break
            tell(found["doing"])
    if "failure" in found:
        raise LoadFailed(found["failure"], path=Path(job.path))
    if "measured" not in found:
        reason = f"the process in which it was measured ended with status {process.returncode}"
        raise LoadFailed(reason, path=Path(job.path))
    return msgspec.convert(found["measured"], kind)


def configuration_file(path: Path) -> Path | None:
    """The ``model.toml`` that governs the model at ``path``, a folder or a file, whether it is there or not.

    ``None`` for a file that cannot have one, because it is called ``*.toml`` itself.
    """
    return path / FILE_NAME if path.is_dir() else configuration_beside(path)


def configuration_of(path: Path) -> Configuration:
    """What it says. Raises `InvalidConfiguration`."""
    file = configuration_file(path)
    return read_configuration(file) if file is not None and file.is_file() else Configuration()


def warmup_inputs(path: Path) -> Mapping[str, Any] | None:
    """The inputs that it gives for the default signature of the model."""
    warmup = configuration_of(path).warmup
    return None if warmup is None or warmup.signature is not None else warmup.inputs
