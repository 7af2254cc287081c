"""The deployment that knows what every process says of its models, and what clients want loaded."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlbuffet_ray.reports import Order, Report

SILENT = 10.0
"""Seconds after which a process that says nothing counts as gone, where another has the same models."""
SETTLING = 6.0
"""Seconds in which a directory that has just started hears of every process."""


class Reports(NamedTuple):
    """What is known, at one moment."""

    number: int
    """It grows with every change."""
    reports: Sequence[Report]


class Directory:
    """Holds nothing that the processes do not say again every two seconds, so that it may die and start anew."""

    def __init__(self, own: frozenset[str]) -> None:
        self._own = own
        self._reports: dict[str, tuple[Report, float]] = {}
        self._orders: dict[str, Order] = {}
        self._started = time.monotonic()
        self._changes = time.time_ns()
        self._changed = asyncio.Condition()

    async def exchange(self, report: Report, known: int, seconds: float) -> Sequence[Order]:
        """Take what a process says; the orders after that with the number ``known``, for which it waits so long."""
        before = self._reports.get(report.process)
        self._reports[report.process] = report, time.monotonic()
        self._adopt(report)
        if before is None or before[0] != report:
            await self._note_change()
        await self._wait(lambda: bool(self._orders_after(known)), seconds)
        return self._orders_after(known)

    async def reports(self, known: int, seconds: float) -> Reports | None:
        """All reports once they are others than those with that number; ``None`` where they are not all there yet."""
        await self._wait(lambda: self._changes != known, seconds)
        self._forget_silent()
        return Reports(self._changes, [report for report, _ in self._reports.values()]) if self._is_complete else None

    async def order(self, model: str, *, is_load: bool) -> int:
        """Have every process load or unload a model; the number of the order."""
        number = max(time.time_ns(), 1 + max((one.number for one in self._orders.values()), default=0))
        self._orders[model] = Order(number, model, is_load)
        await self._note_change()
        return number

    @property
    def _is_complete(self) -> bool:
        named = {model for report, _ in self._reports.values() for model in report.models}
        return self._own <= named or time.monotonic() - self._started > SETTLING

    def _orders_after(self, known: int) -> list[Order]:
        return sorted(order for order in self._orders.values() if order.number > known)

    def _adopt(self, report: Report) -> None:
        """Remember orders that a directory before this one gave."""
        for model, done in report.fulfilments.items():
            if model not in self._orders or self._orders[model].number < done.number:
                self._orders[model] = Order(done.number, model, done.is_load)

    def _forget_silent(self) -> None:
        """Forget the processes that are silent, but for the last that had a model."""
        now = time.monotonic()
        for process, (report, moment) in sorted(self._reports.items(), key=lambda item: item[1][1]):
            others = {model for other, (one, _) in self._reports.items() if other != process for model in one.models}
            if now - moment > SILENT and report.models.keys() <= others:
                del self._reports[process]
                self._changes += 1

    async def _note_change(self) -> None:
        async with self._changed:
            self._changes += 1
            self._changed.notify_all()

    async def _wait(self, reached: Callable[[], bool], seconds: float) -> None:
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(reached)
            except TimeoutError:
                pass
