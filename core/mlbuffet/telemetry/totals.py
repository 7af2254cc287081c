"""The numbers of all workers of a server, as those of one."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from operator import add
from typing import TypeAlias

from mlbuffet.telemetry.counter_table import CounterTable, Key
from mlbuffet.telemetry.metric_names import GAUGES
from mlbuffet.telemetry.version_statistics import RunCounts, VersionCounts

PROCESS = "process"
"""The name of the entry with a worker's id, and when it last showed that it answers, by `time.monotonic`."""
SILENT = 3.0
"""Seconds after which a worker that has not shown that it answers is silent."""
_JOIN: Mapping[str, Callable[..., float]] = {"last_inference": max, "load_seconds": max, "cache_redis_up": min}
"""How numbers are joined that are not added up."""

Version: TypeAlias = tuple[str, int]
"""A model's name and the number of its version."""


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
    processes: dict[int, bool] = {}
    known = {*versions, *((model,) for model, _ in versions), ("", "")}
    for table, lives in tables:
        for key, values in table.items():
            name, labels = str(key[0]), key[1:]
            if name == PROCESS:
                if lives and values[0]:
                    processes[int(values[0])] = now - values[1] < SILENT
            elif name in GAUGES and not (lives and not isnan(values[0])):
                continue
            elif not labels or name == "versions" or labels[:2] in known:
                found, join = numbers[name], _JOIN.get(name, add)
                found[labels] = list(map(join, found[labels], values)) if labels in found else list(values)
    return Totals(numbers, processes)
