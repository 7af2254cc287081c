"""The simulation of clusters does what it says: queues as in theory, and nothing lost where nodes are."""

import math

import pytest

from cluster_simulation import SERVICE, VARIATION, Outcome, Policy, Scenario, Simulation, part_of
from mlbuffet.planning.queueing import waiting_time
from mlbuffet.planning.service_time import ServiceTime


@pytest.mark.parametrize(("nodes", "load"), [(1, 0.6), (4, 0.8)])
def test_one_queue_waits_as_the_theory_has_it(nodes: int, load: float) -> None:
    latencies = Simulation(Scenario(nodes=nodes, load=load, policy="one queue", seconds=150)).run().latencies
    call = ServiceTime(rows=1, mean=SERVICE, p50=SERVICE, p99=SERVICE, variation=VARIATION)
    expected = waiting_time(load * nodes / SERVICE, nodes, call, 0.99) + SERVICE
    assert part_of(latencies, 0.99) == pytest.approx(expected, rel=0.5)


def test_the_better_a_replica_is_chosen_the_shorter_the_wait() -> None:
    policies: tuple[Policy, ...] = ("random", "two choices", "one queue")
    outcomes = [Simulation(Scenario(nodes=20, load=0.8, policy=policy, seconds=10)).run() for policy in policies]
    waits = [part_of(outcome.latencies, 0.99) for outcome in outcomes]
    assert waits == sorted(waits, reverse=True)


@pytest.mark.parametrize("lost", [1, 5])
def test_calls_of_lost_nodes_are_asked_again_and_all_are_answered(lost: int) -> None:
    before, outcome = (Simulation(Scenario(nodes=10, load=0.4, seconds=6, lost=one)).run() for one in (0, lost))
    assert outcome.retried > 0
    assert outcome.failed == before.retried == before.failed == 0
    assert len(outcome.latencies) == pytest.approx(6 * 0.4 * 10 / SERVICE, rel=0.1)
    assert part_of(outcome.later, 1.0) > 0.9 > part_of(before.later, 1.0)


def test_with_all_nodes_gone_calls_fail_and_are_counted() -> None:
    outcome = Simulation(Scenario(nodes=2, load=0.4, seconds=6, lost=2)).run()
    assert outcome.failed > 0


def test_a_hot_model_is_slow_and_harms_no_other() -> None:
    outcome = Simulation(Scenario(nodes=20, models=2, load=0.7, hot=2.0, seconds=6)).run()
    slow = sum(took > 20 * SERVICE for took in outcome.later)
    assert 0.3 < slow / len(outcome.later) < 0.7  # the calls of the hot model, which gets two of three


def test_nothing_is_part_of_nothing() -> None:
    assert math.isnan(part_of([], 0.99))
    assert Outcome().latencies == []
