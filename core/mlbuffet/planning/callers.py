"""Calls that several callers make all the while, through a scheduler as a server has it."""

import asyncio
import time

import msgspec

from mlbuffet.planning.service_time import quantile
from mlbuffet.planning.subject import Subject
from mlbuffet.scheduling import Call, Scheduler

SECONDS = 0.5
"""For how long calls begin that are counted."""


class CallersPoint(msgspec.Struct, frozen=True):
    """What so many callers got, of which each asks for one row again as soon as it has its answer."""

    callers: int
    rate: float
    """Rows that were answered a second."""
    p50: float
    p99: float
    """Seconds of a call, with those for which it waited."""


def ask(subject: Subject, scheduler: Scheduler, callers: int, seconds: float = SECONDS) -> CallersPoint:
    """Let so many callers ask for ``seconds``, and for one call each at least; each one's first call is not counted."""
    return asyncio.run(_ask(Call(subject.inputs, subject.signature), scheduler, callers, seconds))


async def _ask(call: Call, scheduler: Scheduler, callers: int, seconds: float) -> CallersPoint:
    await asyncio.gather(*(_answered(call, scheduler) for _ in range(callers)))
    took: list[float] = []
    begun = time.perf_counter()

    async def caller() -> None:
        while True:
            asked = time.perf_counter()
            await _answered(call, scheduler)
            took.append(time.perf_counter() - asked)
            if time.perf_counter() - begun >= seconds:
                return

    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.perf_counter() - begun
    return CallersPoint(callers, len(took) / elapsed, quantile(took, 0.5), quantile(took, 0.99))


async def _answered(call: Call, scheduler: Scheduler) -> None:
    if scheduler.may_run_now and scheduler.run_now(call) is not None:
        await asyncio.sleep(0)  # the turn of the next, as a server reads the next request
    else:
        await scheduler.submit(call, _Lease)


class _Lease:
    """Nobody unloads the model meanwhile."""

    def release(self) -> None:
        """Nothing to do."""
