"""The settings with which a model answers most, found by trying them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from mlbuffet.model import Model
from mlbuffet.options_type import by_name
from mlbuffet.planning.callers import CallersPoint, ask
from mlbuffet.planning.subject import Subject
from mlbuffet.scheduling import Batching, Limits, Scheduling

CALLERS = (1, 4, 16, 64)
"""How many ask at once, until no more of them can share the model."""
BATCHES = (8, 32)
DELAYS = (1.0, 5.0)
"""Milliseconds."""
WORTH = 1.05
"""How many times as much a setting must answer to be taken for another."""
_MOST_CONCURRENCY = 64
_TOO_LONG = 2.0
"""Seconds of a call beyond which more callers are not waited for."""


class Setting(msgspec.Struct, frozen=True):
    """What ``model.toml`` says of how calls are run."""

    threads: int | None
    """Within a call; ``None`` where the runtime has no option for it."""
    concurrency: int
    max_size: int = 1
    """Rows of a batch; 1 is no batching."""
    max_delay_ms: float = 0.0
    preferred_sizes: tuple[int, ...] = ()

    @property
    def batching(self) -> Batching | None:
        """The table ``[batching]``, if calls are batched."""
        if self.max_size == 1:
            return None
        return Batching(self.max_size, self.max_delay_ms, list(self.preferred_sizes))

    @property
    def batches(self) -> tuple[int, ...]:
        """The sizes of batches to try, which hold the preferred ones."""
        least = max(self.preferred_sizes, default=0)
        return tuple(size for size in BATCHES if size >= least) or (least,)


class Trial(msgspec.Struct, frozen=True):
    """What callers got with a setting: fewer of them first."""

    setting: Setting
    points: list[CallersPoint]

    def best(self, limit: float | None = None) -> CallersPoint | None:
        """The point with the most rows a second whose ``p99`` is not beyond ``limit`` seconds, if there is one."""
        kept = [point for point in self.points if limit is None or point.p99 <= limit]
        return max(kept, key=lambda point: point.rate, default=None)

    def rate(self, limit: float | None = None) -> float:
        """Rows a second at the best point; 0 where there is none."""
        best = self.best(limit)
        return 0.0 if best is None else best.rate


class Tried(msgspec.Struct, frozen=True):
    """The trials of one process, in which a model was loaded; the first one is as the model was loaded."""

    trials: list[Trial]
    threads_option: str | None
    unbatched: str
    """Why calls cannot share a batch; empty where they can."""


class Wanted(msgspec.Struct, frozen=True):
    """What a process is to try; without ``settings`` it searches."""

    limit: float | None = None
    settings: list[Setting] | None = None


def try_settings(
    model: Model,
    wanted: Wanted,
    *,
    cores: int,
    scheduling: Limits,
    batching: Batching | None,
    samples: Mapping[str, Any] | None,
    tell: Callable[[str], None],
) -> Tried:
    """Try settings of a loaded ``model``; ``scheduling`` and ``batching`` are those of its ``model.toml``.

    Raises `LoadFailed` where it cannot be called with random inputs or with ``samples``.
    """
    subject = Subject.of(model, samples)
    option = model.runtime.threads_option
    present = Setting(
        threads=None if option is None else by_name(model.options).get(option),
        concurrency=scheduling.within(model.concurrency).concurrency,
        max_size=1 if batching is None or subject.unbatched else batching.max_size,
        max_delay_ms=0.0 if batching is None else batching.max_delay_ms,
        preferred_sizes=() if batching is None else tuple(batching.preferred_sizes),
    )
    trials: dict[Setting, Trial] = {}
    with _trier(subject, tell) as try_one:

        def note(setting: Setting) -> float:
            if setting not in trials:
                trials[setting] = try_one(setting)
            return trials[setting].rate(wanted.limit)

        if wanted.settings is None:
            note(present)
            most = min(model.concurrency or _MOST_CONCURRENCY, _MOST_CONCURRENCY)
            _search(present, note, cores=min(cores, most), most=most, can_batch=not subject.unbatched)
        else:
            for setting in wanted.settings:
                note(setting)
    return Tried(list(trials.values()), option, subject.unbatched)


@contextmanager
def _trier(subject: Subject, tell: Callable[[str], None]) -> Iterator[Callable[[Setting], Trial]]:
    scheduling = Scheduling()
    samples = {subject.signature: subject.samples} if subject.samples else {}

    def try_one(setting: Setting) -> Trial:
        tell(described(setting))
        scheduler = scheduling.scheduler(subject.model, Limits(setting.concurrency), setting.batching, samples)
        points: list[CallersPoint] = []
        for callers in CALLERS:
            points.append(ask(subject, scheduler, callers))
            if callers >= setting.concurrency * setting.max_size or points[-1].p50 > _TOO_LONG:
                break
        return Trial(setting, points)

    try:
        yield try_one
    finally:
        scheduling.close()


def _search(present: Setting, rate_of: Callable[[Setting], float], *, cores: int, most: int, can_batch: bool) -> None:
    """One kind of setting after the other, each with what was best before."""
    alone = msgspec.structs.replace(present, max_size=1, max_delay_ms=0.0, concurrency=1)
    steps = [min(steps, most) for steps in (1, cores, 4 * cores, 16 * cores)]
    _climb((msgspec.structs.replace(alone, concurrency=step) for step in dict.fromkeys(steps)), rate_of)
    if not can_batch:
        return
    found: list[tuple[float, Setting]] = []
    for concurrency in dict.fromkeys((1, cores)):
        several = msgspec.structs.replace(alone, concurrency=concurrency)
        found.append(_climb((msgspec.structs.replace(several, max_size=size) for size in present.batches), rate_of))
    _, best = max(found, key=lambda one: one[0])
    _climb((msgspec.structs.replace(best, max_delay_ms=delay) for delay in DELAYS), rate_of)


def _climb(settings: Iterable[Setting], rate_of: Callable[[Setting], float]) -> tuple[float, Setting]:
    """Try one after the other, as long as each answers more than all before."""
    best: tuple[float, Setting] | None = None
    for setting in settings:
        rate = rate_of(setting)
        if best is not None and rate < WORTH * best[0]:
            return max(best, (rate, setting), key=lambda one: one[0])
        best = (rate, setting)
    assert best is not None
    return best


def described(setting: Setting) -> str:
    """The setting in words."""
    threads = "" if setting.threads is None else f"threads {setting.threads or 'of all cores'}, "
    batches = f", batches of {setting.max_size}" if setting.max_size > 1 else ""
    delay = f", {setting.max_delay_ms:g} ms of delay" if setting.max_delay_ms else ""
    return f"{threads}{setting.concurrency} at once{batches}{delay}"


def chosen(trials: Sequence[Trial], limit: float | None) -> Trial | None:
    """The trial to take, of which the first is as things are; ``None`` where none keeps the limit.

    One that answers more is taken only where it is worth it: the present one is best left alone, and of two that answer
    about the same the one is better that keeps nobody waiting.
    """
    most = max(trial.rate(limit) for trial in trials)
    if most == 0.0:
        return None
    present = trials[0]
    if WORTH * present.rate(limit) >= most:
        return present
    near = [trial for trial in trials if WORTH * trial.rate(limit) >= most]
    return min(near, key=lambda trial: (trial.setting.max_delay_ms, trial.setting.max_size > 1, -trial.rate(limit)))
