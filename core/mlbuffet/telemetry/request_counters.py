"""How many requests there were, how they ended, and how long they took."""

from bisect import bisect_left
from typing import TypeAlias

from mlbuffet.telemetry.counter_table import CounterTable, Numbers
from mlbuffet.telemetry.metric_names import BOUNDS

_BOUNDS = BOUNDS["request_seconds"]

Subject: TypeAlias = tuple[str, str, int]
"""Protocol, model and version; without a model, and version 0, what led to none."""


class RequestCounters:
    """Counts on the event loop alone, and so without a lock.

    A subject is a version that was asked, never a name that a client made up.
    """

    def __init__(self, table: CounterTable) -> None:
        self._table = table
        self._slots: dict[tuple[Subject, int], tuple[Numbers, Numbers]] = {}

    def count(self, subject: Subject, status: int, seconds: float) -> None:
        """Count one request."""
        number, histogram = self._slots.get((subject, status)) or self._new_slots(subject, status)
        number[0] += 1
        histogram[bisect_left(_BOUNDS, seconds)] += 1
        histogram[-1] += seconds

    def refuse(self, status: int) -> None:
        """Count a request whose head was refused, of which no more is known."""
        self.count(("other", "", 0), status, 0.0)

    def _new_slots(self, subject: Subject, status: int) -> tuple[Numbers, Numbers]:
        protocol, model, version = subject
        labels = model, version if model else "", protocol
        number = self._table.values(("requests", *labels, status))
        histogram = self._table.values(("request_seconds", *labels), len(_BOUNDS) + 2)
        return self._slots.setdefault((subject, status), (number, histogram))
