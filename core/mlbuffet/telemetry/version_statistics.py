"""How often and how long the versions of models were asked."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from mlbuffet.scheduling import Execution, Prediction
from mlbuffet.telemetry.counter_table import CounterTable, Numbers

MANY_SIZES = 256
"""So many numbers of rows are counted by themselves; others as the next power of two."""


class RunCounts(NamedTuple):
    """The runs of a version with one number of rows, and the nanoseconds that they took in all."""

    runs: int = 0
    join: int = 0
    infer: int = 0
    divide: int = 0


class VersionCounts(NamedTuple):
    """The counts of one version; what ends in ``ns`` is the nanoseconds that something took in all."""

    runs: Mapping[int, RunCounts] = {}
    """By rows."""
    last_inference: int = 0
    """Milliseconds since 1970; 0 for never."""
    succeeded: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0
    rows: int = 0
    success_ns: int = 0
    fail_ns: int = 0
    input_ns: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    hit_ns: int = 0
    miss_ns: int = 0


_SUCCEEDED, _FAILED, _HITS, _MISSES, _ROWS = range(5)
_SUCCESS, _FAIL, _INPUT, _QUEUE, _INFER, _OUTPUT, _HIT, _MISS = range(5, 13)
"""The fields of `VersionCounts` from ``succeeded`` on, which are slots beside each other."""


class VersionStatistics:
    """Counts for one version, on the event loop alone, and so without a lock."""

    def __init__(self, table: CounterTable, model: str, version: int) -> None:
        self._table = table
        self._version = model, version
        self._last_inference = table.values(("last_inference", model, version))
        self._slots = table.values(("statistics", model, version), 13)
        self._runs: dict[int, Numbers] = {}

    def success(self, prediction: Prediction, begin: int, decoded: int, computed: int, end: int) -> None:
        """Count an answer; the moments, in nanoseconds, are those at which a stage ended."""
        slots, execution = self._slots, prediction.execution
        slots[_SUCCEEDED] += 1
        slots[_ROWS] += prediction.rows
        slots[_SUCCESS] += end - begin
        slots[_INPUT] += decoded - begin
        slots[_OUTPUT] += end - computed
        self._last_inference[0] = time.time_ns() // 1_000_000
        if execution is not None:
            slots[_QUEUE] += execution.begun - decoded
            slots[_INFER] += computed - execution.begun
            if execution.count_once():
                self._count_run(execution)
        if prediction.lookup is not None:
            slots[_HITS if execution is None else _MISSES] += 1
            slots[_HIT if execution is None else _MISS] += prediction.lookup

    def failure(self, nanoseconds: int) -> None:
        """Count a request that ended in an error."""
        self._slots[_FAILED] += 1
        self._slots[_FAIL] += nanoseconds

    def _count_run(self, execution: Execution) -> None:
        slots = self._runs.get(execution.rows) or self._new_run(execution.rows)
        slots[0] += 1
        slots[1] += execution.join
        slots[2] += execution.infer
        slots[3] += execution.divide

    def _new_run(self, rows: int) -> Numbers:
        if len(self._runs) >= MANY_SIZES:  # a client may send any number of rows
            rows = 1 << (rows - 1).bit_length()
        return self._runs.setdefault(rows, self._table.values(("runs", *self._version, rows), 4))
