"""What the workers of a server count and measure, in tables that each of them can read."""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from operator import add
from threading import Lock
from typing import NamedTuple, TypeAlias

from mlbuffet.telemetry.counter_table import CounterTable, Key, WorkerSlot
from mlbuffet.telemetry.metric_names import METRICS
from mlbuffet.telemetry.request_counters import RequestCounters
from mlbuffet.telemetry.version_statistics import RunCounts, VersionCounts

PERIOD = 1.0
"""Seconds after which a worker measures again; the one that is asked for totals does it then."""
PROCESS = "process"
"""With the id of a worker, a gauge: when it last showed that it answers, by `time.monotonic`."""
SILENT = 3.0
"""Seconds after which a worker that has not shown that it answers is silent."""
_JOIN: Mapping[str, Callable[..., float]] = {"last_inference": max, "load_seconds": max, "cache_redis_up": min}
"""How numbers are joined that are not added up."""
_GAUGES = {PROCESS, *(name for name, (kind, *_) in METRICS.items() if kind == "gauge")}

Version: TypeAlias = tuple[str, int]
"""A model's name and the number of its version."""


class Sample(NamedTuple):
    """What is measured at one moment; the keys are those of a `CounterTable`."""

    versions: Collection[Version]
    """All there are."""
    gauges: Mapping[Key, float]
    counters: Mapping[Key, Sequence[float]]
    """What others have counted in this process."""


@dataclass(frozen=True)
class Totals:
    """The sums of all tables."""

    numbers: Mapping[str, Mapping[Key, Sequence[float]]]
    """By name and labels."""
    processes: Mapping[int, bool]
    """By its id, whether a worker that lives answers, or else is silent."""

    def statistics(self) -> dict[Version, VersionCounts]:
        """The counts of each version that was asked."""
        runs: dict[Key, dict[int, RunCounts]] = defaultdict(dict)
        for (model, number, rows), values in self.numbers["runs"].items():
            runs[model, number][int(rows)] = RunCounts(*map(int, values))
        last = self.numbers["last_inference"]
        return {
            (str(model), int(number)): VersionCounts(runs[model, number], *map(int, (*last[model, number], *values)))
            for (model, number), values in self.numbers["statistics"].items()
        }


def total(tables: Iterable[tuple[CounterTable, bool]], versions: Collection[Version], now: float) -> Totals:
    """The sums of the counters of all tables, and of the gauges of those whose flag says that the worker is alive.

    Entries of models and versions that are not in ``versions`` are left out. ``now`` is `time.monotonic`.
    """
    numbers: dict[str, dict[Key, Sequence[float]]] = defaultdict(dict)
    known = {*versions, *((model,) for model, _ in versions), ("", "")}
    for table, lives in tables:
        for key, values in table.items():
            name, labels = str(key[0]), key[1:]
            if name in _GAUGES and (not lives or isnan(values[0])):
                continue
            if not labels or labels[:2] in known or name in ("versions", PROCESS):
                found, join = numbers[name], _JOIN.get(name, add)
                found[labels] = list(map(join, found[labels], values)) if labels in found else list(values)
    processes = {int(process): now - moment < SILENT for (process,), (moment,) in numbers[PROCESS].items()}
    answers = Counter(processes.values())
    numbers["workers"] = {("answering",): [answers[True]], ("silent",): [answers[False]]}
    return Totals(numbers, processes)


class WorkerTelemetry:
    """The table of one worker, and the totals of all; without a slot it is the only one.

    ``measure`` is called in threads, one at a time.
    """

    def __init__(self, measure: Callable[[], Sample], slot: WorkerSlot | None = None) -> None:
        self._measure = measure
        self._slot = slot or WorkerSlot()
        self._tables = self._slot.take()
        self._sampling: asyncio.Task[None] | None = None
        self._sampled: Mapping[Key, Sequence[float]] = {}
        self._lock = Lock()
        self.table = self._tables[self._slot.number]
        self.requests = RequestCounters(self.table)
        self._write_gauges({})  # those of a worker before this one are no more

    def note_load(self, model: str, version: int, state: str) -> None:
        """Count the end of a load, where the state that a version has entered is one; in any thread."""
        if state in ("READY", "FAILED"):
            self.table.add(("loads", model, version, state), [1])

    def start(self) -> None:
        """Measure once a second for the other workers, on the event loop that runs."""
        if len(self._tables) > 1:
            self._sampling = asyncio.create_task(self._sample_regularly())

    async def close(self) -> None:
        """Leave what was counted to the other workers."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.to_thread(self._sample)

    async def totals(self) -> Totals:
        """The numbers of all workers: the counts of now, and the gauges of other workers of a second ago."""
        versions = await asyncio.to_thread(self._sample)
        tables = [(one, one is self.table or self._slot.lives(number)) for number, one in enumerate(self._tables)]
        return await asyncio.to_thread(total, tables, versions, time.monotonic())

    async def _sample_regularly(self) -> None:
        while True:
            await asyncio.to_thread(self._sample)
            await asyncio.sleep(PERIOD)

    def _sample(self) -> Collection[Version]:
        with self._lock:
            versions, gauges, counters = self._measure()
            counters = {**counters, ("processor_seconds",): [time.process_time()]}
            for key, counts in counters.items():
                before = self._sampled.get(key, [0.0] * len(counts))
                # what is smaller than before has begun at zero again
                self.table.add(key, [new - old if new >= old else new for new, old in zip(counts, before, strict=True)])
            self._sampled = counters
            self._write_gauges({**gauges, (PROCESS, os.getpid()): time.monotonic()})
        return versions

    def _write_gauges(self, gauges: Mapping[Key, float]) -> None:
        without_value = {key: nan for key, _ in self.table.items() if key[0] in _GAUGES}
        for key, value in {**without_value, **gauges}.items():
            self.table.values(key)[0] = value
