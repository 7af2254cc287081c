"""What a model takes here: seconds for calls of one and of several rows, alone and under load, and memory."""

import random
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.model import Model
from mlbuffet.planning.callers import ask
from mlbuffet.planning.service_time import ServiceTime, quantile
from mlbuffet.planning.subject import Subject
from mlbuffet.scheduling import Limits, Scheduling

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""The rows of calls that are measured."""
SECONDS = 1.0
"""For how long each is measured, but for one call at least."""
MOST_CALLS = 2000
LOADS = (0.5, 0.8)
"""Parts of the most that one process answers at which calls are sent as they arrive in earnest."""
_ENOUGH = 1.05
"""How much more a batch of twice the size must answer for larger ones to be tried."""


class LoadPoint(msgspec.Struct, frozen=True):
    """The latency that was measured while ``rate`` calls a second arrived at one process."""

    rate: float
    p50: float
    p99: float


class Measurement(msgspec.Struct, frozen=True):
    """Of one model, in a process that had ``cores``."""

    cores: int
    calls: list[ServiceTime]
    """Of one row first; of several where calls can share batches."""
    together: float
    """How many calls of one row a second the process answered to as many callers as it had cores."""
    cpu: float
    """The seconds of processor time of a call of one row."""
    memory: int
    """Bytes of the process with the model, at most."""
    unbatched: str
    """Why calls cannot share a batch; empty where they can."""
    loads: list[LoadPoint]

    @property
    def one(self) -> ServiceTime:
        """Of calls of one row."""
        return self.calls[0]

    @property
    def best_batch(self) -> ServiceTime:
        """The size that answers most rows a second."""
        return max(self.calls, key=lambda call: call.rows_per_second)


def measure(model: Model, cores: int, samples: Mapping[str, Any] | None = None) -> Measurement:
    """Call the default signature of ``model`` as often as it takes, with random inputs or with ``samples``.

    Raises `LoadFailed` where it cannot be called with them.
    """
    subject = Subject.of(model, samples)
    name, one = subject.signature, subject.inputs
    calls = [_timed(model, name, one, 1)]
    cpu = _cpu_seconds(model, name, one)
    for size in SIZES[1:] if not subject.unbatched else ():
        calls.append(_timed(model, name, {key: np.repeat(array, size, axis=0) for key, array in one.items()}, size))
        if calls[-1].rows_per_second < _ENOUGH * calls[-2].rows_per_second:
            break
    with closing(Scheduling()) as scheduling:
        together = ask(subject, scheduling.scheduler(model, Limits(cores)), cores)
    return Measurement(
        cores=cores,
        calls=calls,
        together=together.rate,
        cpu=cpu,
        memory=_most_memory(),
        unbatched=subject.unbatched,
        loads=[_under_load(model, name, one, part / calls[0].mean) for part in LOADS],
    )


def _timed(model: Model, name: str, inputs: Mapping[str, NDArray[Any]], rows: int) -> ServiceTime:
    for _ in range(3):  # what the first calls with a size prepare is not for the plan
        model.predict(inputs, signature=name)
    seconds: list[float] = []
    end = time.perf_counter() + SECONDS
    while not seconds or (time.perf_counter() < end and len(seconds) < MOST_CALLS):
        begun = time.perf_counter()
        model.predict(inputs, signature=name)
        seconds.append(time.perf_counter() - begun)
    return ServiceTime.of(rows, seconds)


def _cpu_seconds(model: Model, name: str, inputs: Mapping[str, NDArray[Any]]) -> float:
    begun, end, count = time.process_time(), time.perf_counter() + SECONDS / 2, 0
    while not count or time.perf_counter() < end:
        model.predict(inputs, signature=name)
        count += 1
    return (time.process_time() - begun) / count


def _under_load(model: Model, name: str, inputs: Mapping[str, NDArray[Any]], rate: float) -> LoadPoint:
    """Send calls at random times, which wait for each other, as in a server with one process for the model."""
    chance = random.Random(0)  # noqa: S311 no secret
    took: list[float] = []
    arrival = begun = time.perf_counter()
    while arrival - begun < 2 * SECONDS and len(took) < MOST_CALLS:
        arrival += chance.expovariate(rate)
        if (ahead := arrival - time.perf_counter()) > 0:
            time.sleep(ahead)
        model.predict(inputs, signature=name)
        took.append(time.perf_counter() - arrival)
    return LoadPoint(rate, quantile(took, 0.5), quantile(took, 0.99))


def _most_memory() -> int:
    """The bytes that this process had in memory at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
