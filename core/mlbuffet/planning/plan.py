"""The processes that each model of a server takes for its load."""

from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from mlbuffet.planning.measurement import Measurement
from mlbuffet.planning.queueing import batched_latency, batching_servers_for, latency, servers_for
from mlbuffet.planning.service_time import ServiceTime

FRONT_BUSY = 0.7
"""The part of the time that the cores in front of the models compute: what comes in bursts has room."""
WORTH_BATCHING = 1.2
"""How much more a batch has to answer on a core for batching to be proposed."""


class Choice(msgspec.Struct, frozen=True):
    """One way to run a model: processes of so many cores each, with or without batches."""

    replicas: int
    cores: int
    """Of each replica."""
    rows: int
    """Of a batch; 1 is no batching."""
    p99: float
    """The expected latency in seconds within which 99 of 100 calls are answered; without the way over the network."""

    @property
    def total_cores(self) -> int:
        """Of all replicas."""
        return self.replicas * self.cores


class ModelPlan(msgspec.Struct, frozen=True):
    """What one model takes; ``choice`` is ``None`` where nothing here keeps the limit, and ``reason`` says why."""

    model: str
    rate: float
    alone: ServiceTime
    """A call of one row on one core."""
    memory: int
    """Bytes of one replica."""
    batch_gain: float
    """How many times as many rows the best batch answers on a core; 1 where calls cannot share batches."""
    front: float
    """Cores of the servers in front, for the requests of this model."""
    choice: Choice | None
    reason: str


class Measured(msgspec.Struct, frozen=True):
    """One model on one core, on all cores of this machine, and what its requests take besides."""

    one_core: Measurement
    all_cores: Measurement
    request: float
    """Seconds of processor time of a request over HTTP, without those of the model."""


def plan(measured: Mapping[str, Measured], rates: Mapping[str, float], limit: float | None) -> list[ModelPlan]:
    """What each model with a rate (calls of one row a second) takes, so that 99 of 100 calls keep the ``limit``."""
    return [_plan_of(name, measured[name], rate, limit) for name, rate in rates.items()]


def _plan_of(name: str, measured: Measured, rate: float, limit: float | None) -> ModelPlan:
    one = measured.one_core
    choices = [*_choices(one, rate, limit), *_choices(measured.all_cores, rate, limit)]
    best = min(choices, key=lambda choice: (choice.total_cores, choice.rows, choice.p99), default=None)
    fastest = min(one.one.p99, measured.all_cores.one.p99)
    return ModelPlan(
        model=name,
        rate=rate,
        alone=one.one,
        memory=one.memory if best is None or best.cores == one.cores else measured.all_cores.memory,
        batch_gain=one.best_batch.rows_per_second / one.one.rows_per_second,
        front=rate * measured.request / FRONT_BUSY,
        choice=best,
        reason="" if best else f"alone on this machine, 99 of 100 calls take up to {fastest * 1000:.3g} ms",
    )


def _choices(measurement: Measurement, rate: float, limit: float | None) -> Iterable[Choice]:
    """The fewest processes without batches, and with those of each size that are worth it."""
    one, cores = measurement.one, measurement.cores
    if (count := servers_for(rate, one, limit)) is not None:
        yield Choice(count, cores, 1, latency(rate, count, one))
    for batch in measurement.calls[1:]:
        if batch.rows_per_second < WORTH_BATCHING * one.rows_per_second:
            continue
        if (count := batching_servers_for(rate, batch, limit)) is not None:
            yield Choice(count, cores, batch.rows, batched_latency(rate, count, batch))


def curve(measurement: Measurement, choice: Choice) -> list[tuple[float, float]]:
    """Pairs of calls a second and the expected latency of 99 of 100, for the processes that were chosen."""
    call = next(one for one in measurement.calls if one.rows == choice.rows)
    most = choice.replicas * call.rows_per_second
    loads = [most * part / 50 for part in range(1, 50)]
    of = batched_latency if choice.rows > 1 else latency
    return [(load, took) for load in loads if (took := of(load, choice.replicas, call)) < inf]
