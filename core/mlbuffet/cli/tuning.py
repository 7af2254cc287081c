"""``mlbuffet tune``: finds the settings with which a model answers most, and writes them into its ``model.toml``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from mlbuffet.artifact import check_path
from mlbuffet.cli.measuring import Job, configuration_file, configuration_of, cores_here, measured
from mlbuffet.places import place_of
from mlbuffet.planning.tuning import WORTH, Setting, Trial, Tried, Wanted, chosen
from mlbuffet.repository.configuration_edit import Changes, edited
from mlbuffet.repository.layout import Finder
from mlbuffet.runtimes import Runtimes
from mlbuffet.version_numbers import version_number

_CONFIRMATIONS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """What was tried for a model, and what is to be written."""

    trials: Sequence[Trial]
    """The first is with the settings that it has."""
    best: Trial | None
    """``None`` where nothing keeps the limit; the first of ``trials`` where nothing is worth it."""
    gain: float | None
    """How many times as many rows a second the best answered as the first, measured once more where it is another;
    ``None`` where the first does not keep the limit."""
    limit: float | None
    unbatched: str
    """Why calls cannot share a batch; empty where they can."""
    changes: Changes
    """What they are in ``model.toml``, by table and key."""


def tunable(place: str, runtimes: Runtimes) -> tuple[Path, Path]:
    """The model at ``place`` and its ``model.toml``. Raises `typer.BadParameter` for what is no single model."""
    path = place_of(place)
    if not isinstance(path, Path):
        raise typer.BadParameter("models at a URL are not measured; copy it to this machine")
    check_path(path)
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.stem == "model") and version_number(folder.name) is not None:
        raise typer.BadParameter(f"'{folder}' is a version; settings are those of its model: '{folder.parent}'")
    if path.is_file() and path.stem == "model":
        raise typer.BadParameter(f"it is the artifact of the model in its folder; name that: '{folder}'")
    if Finder(runtimes, None).is_folder_of_models(path):
        raise typer.BadParameter(f"'{path}' is a folder of models; name one of them")
    file = configuration_file(path)
    if file is None:
        raise typer.BadParameter(f"'{path}' cannot have a model.toml beside it; put it into a folder of its own")
    configuration_of(path)
    return path, file


def tune(path: Path, limit: float | None, tell: Callable[[str], None]) -> Tuning:
    """Try settings of the model at ``path``, each number of threads in a process of its own; seconds for ``limit``.

    Raises `LoadFailed` where it cannot be measured.
    """
    cores = cores_here()

    def tried(threads: int | None, option: str | None, settings: list[Setting] | None = None) -> Tried:
        options = {} if option is None or threads is None else {option: threads}
        wanted = Wanted(limit=limit, settings=settings)
        return measured(Job(path=str(path), cores=cores, options=options, wanted=wanted), Tried, tell)

    first = tried(None, None)
    trials, option = list(first.trials), first.threads_option
    for threads in _other_threads(trials[0].setting.threads, len(cores)):
        trials += tried(threads, option).trials
    present, best = trials[0], chosen(trials, limit)
    gain: float | None = 1.0
    if best is not None and best is not present:
        tell("the best and the present settings once more")
        rates = [
            [tried(one.setting.threads, option, [one.setting]).trials[0].rate(limit) for one in (best, present)]
            for _ in range(_CONFIRMATIONS)
        ]
        more, less = map(sum, zip(*rates, strict=True))
        gain = more / less if less else None
        best = present if gain is not None and gain < WORTH else best
    changes = {} if best is None else _changes(option, present.setting, best.setting)
    return Tuning(trials=trials, best=best, gain=gain, limit=limit, unbatched=first.unbatched, changes=changes)


def text_with(file: Path, changes: Changes) -> str:
    """What the ``model.toml`` says with the ``changes``."""
    return edited(file.read_text(encoding="utf-8") if file.exists() else "", changes)


def _other_threads(present: int | None, cores: int) -> list[int]:
    if present is None:
        return []
    powers = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [threads for threads in (*powers, cores) if threads != (present if present > 0 else cores)]


def _changes(option: str | None, present: Setting, best: Setting) -> dict[str, dict[str, Any]]:
    """The keys in which ``best`` is another than ``present``."""
    changes: dict[str, dict[str, Any]] = {}
    if option is not None and best.threads != present.threads:
        changes["options"] = {option: best.threads}
    if best.concurrency != present.concurrency:
        changes["scheduling"] = {"max_concurrency": best.concurrency}
    batching: dict[str, Any] = {
        key: value
        for key, value in (("max_size", best.max_size), ("max_delay_ms", best.max_delay_ms))
        if value != getattr(present, key)
    }
    if best.max_size == 1 and present.preferred_sizes:
        batching["preferred_sizes"] = []
    if batching:
        changes["batching"] = batching
    return changes
