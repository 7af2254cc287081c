"""What the theory of queues says agrees with queues that are played through."""

import heapq
import random
from math import inf

import pytest

from mlbuffet.planning.queueing import (
    batched_latency,
    batching_servers_for,
    latency,
    probability_of_waiting,
    servers_for,
    waiting_time,
)
from mlbuffet.planning.service_time import ServiceTime, quantile


def service(mean: float = 0.01, p99: float = 0.01, variation: float = 0.0, rows: int = 1) -> ServiceTime:
    return ServiceTime(rows=rows, mean=mean, p50=mean, p99=p99, variation=variation)


@pytest.mark.parametrize(
    ("load", "servers", "probability"),
    [(0.5, 1, 0.5), (8.0, 10, 0.4092), (0.0, 3, 0.0), (3.0, 3, 1.0), (900.0, 1000, 0.0001)],
)
def test_erlangs_formula(load: float, servers: int, probability: float) -> None:
    assert probability_of_waiting(load, servers) == pytest.approx(probability, abs=2e-3)


@pytest.mark.parametrize("variation", [0.0, 1.0])
@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.7), (4, 0.85)])
def test_waiting_times_are_those_of_a_queue_that_is_played_through(servers: int, load: float, variation: float) -> None:
    rate = load * servers / 0.01
    played = quantile(_waited(rate, servers, variation), 0.99)
    assert waiting_time(rate, servers, service(variation=variation), 0.99) == pytest.approx(played, rel=0.35, abs=0.002)


def _waited(rate: float, servers: int, variation: float) -> list[float]:
    chance, free, now, waited = random.Random(1), [0.0] * servers, 0.0, []
    for _ in range(60_000):
        now += chance.expovariate(rate)
        begins = max(now, heapq.heappop(free))
        waited.append(begins - now)
        heapq.heappush(free, begins + (chance.expovariate(100) if variation else 0.01))
    return waited


@pytest.mark.parametrize("variation", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("limit", [None, 0.011, 0.02, 0.1])
def test_the_servers_are_enough_and_one_less_is_not(limit: float | None, variation: float) -> None:
    call = service(variation=variation)
    servers = servers_for(1234, call, limit)
    assert servers is not None
    assert latency(1234, servers, call) <= (limit or 1e9)
    assert latency(1234, servers - 1, call) > (limit or 1e9)


def test_a_limit_that_a_call_alone_does_not_keep_needs_no_servers() -> None:
    assert servers_for(1, service(p99=0.03), 0.02) is None
    assert batching_servers_for(1, service(p99=0.015, rows=8), 0.02) is None


def test_batches_wait_for_one_another() -> None:
    batch = service(mean=0.02, p99=0.025, rows=16)  # 800 rows a second
    assert batching_servers_for(3000, batch, 0.05) == 4
    assert batched_latency(3000, 4, batch) == pytest.approx(0.05)
    assert batched_latency(3100, 4, batch) == inf


def test_quantiles() -> None:
    assert [quantile([3, 1, 2, 4], part) for part in (0.0, 0.25, 0.26, 0.5, 0.99, 1.0)] == [1, 1, 2, 2, 4, 4]
    assert quantile(list(range(1, 1001)), 0.99) == 990
    one = ServiceTime.of(2, [0.01, 0.03])
    assert (one.mean, one.p50, one.p99, one.rows_per_second) == (0.02, 0.01, 0.03, 100)
    assert one.variation == pytest.approx(0.25)
