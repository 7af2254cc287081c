"""What one worker counts and measures, where all workers of the server can read it."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from math import nan
from operator import lt, sub
from threading import Lock
from typing import NamedTuple

from anyio.to_thread import run_sync

from mlbuffet.telemetry.counter_table import CounterTable, Key
from mlbuffet.telemetry.metric_names import GAUGES
from mlbuffet.telemetry.request_counters import RequestCounters
from mlbuffet.telemetry.totals import PROCESS, Totals, Version, total
from mlbuffet.telemetry.worker_slot import WorkerSlot

PERIOD = 1.0
"""Seconds after which a worker measures again; the one that is asked for totals does it then."""


class Sample(NamedTuple):
    """What is measured at one moment; the keys are those of a `CounterTable`."""

    versions: Collection[Version]
    """All there are."""
    gauges: Mapping[Key, float]
    counters: Mapping[Key, Sequence[float]]
    """What others have counted in this process."""


class WorkerTelemetry:
    """The table of one worker, and the totals of all; without a slot it is the only one.

    ``measure`` is called in threads, one at a time.
    """

    def __init__(self, measure: Callable[[], Sample], slot: WorkerSlot | None = None) -> None:
        self._measure = measure
        self._slot = slot
        self._sampling: asyncio.Task[None] | None = None
        self._sampled: Mapping[Key, Sequence[float]] = {}
        self._lock = Lock()
        self.table = CounterTable() if slot is None else CounterTable(slot.take())
        self._others = {} if slot is None else {number: CounterTable(one) for number, one in slot.others().items()}
        self.requests = RequestCounters(self.table)
        self._process = self.table.values((PROCESS,), 2)
        self._process[0] = 0  # that of a worker before this one
        self._write_gauges({})

    def note_load(self, model: str, version: int, state: str) -> None:
        """Count the end of a load, where the state that a version has entered is one; in any thread."""
        if state in ("READY", "FAILED"):
            self.table.add(("loads", model, version, state), [1])

    def start(self) -> None:
        """Measure once a second for the other workers, on the event loop that runs."""
        if self._slot is not None:
            self._sampling = asyncio.create_task(self._sample_regularly())

    async def close(self) -> None:
        """Leave what was counted to the other workers."""
        if self._sampling is not None:
            self._sampling.cancel()
            await run_sync(self._sample)

    async def totals(self) -> Totals:
        """The numbers of all workers: the counts of now, and the gauges of other workers of a second ago."""
        return await run_sync(self._totals)

    async def _sample_regularly(self) -> None:
        while True:
            await asyncio.to_thread(self._sample)
            await asyncio.sleep(PERIOD)

    def _totals(self) -> Totals:
        versions = self._sample()
        tables = [(self.table, True)]
        if self._slot is not None:
            tables += [(table, self._slot.lives(number)) for number, table in self._others.items()]
        return total(tables, versions, time.monotonic())

    def _sample(self) -> Collection[Version]:
        with self._lock:
            versions, gauges, counters = self._measure()
            counters = {("processor_seconds",): (time.process_time(),), **counters}
            for key, counts in counters.items():
                self.table.add(key, _growth(self._sampled.get(key), counts))
            self._sampled = counters
            self._write_gauges(gauges)
            self._process[1] = time.monotonic()
            self._process[0] = os.getpid()
        return versions

    def _write_gauges(self, gauges: Mapping[Key, float]) -> None:
        for key, values in self.table.items():
            if key[0] in GAUGES and key not in gauges:
                values[0] = nan
        for key, value in gauges.items():
            self.table.values(key)[0] = value


def _growth(before: Sequence[float] | None, now: Sequence[float]) -> Sequence[float]:
    """By how much counts have grown, which begin at zero again when a version is loaded again."""
    if before is None or any(map(lt, now, before)):
        return now
    return list(map(sub, now, before))
