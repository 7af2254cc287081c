"""Calls run on the loop or in threads, wait in a bounded queue, and leave it when nobody waits for them."""

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from gated import Gated
from mlbuffet import Model, PredictFailed, Signature, Tensors, TensorSpec, UnknownSignature
from mlbuffet.errors import Overloaded
from mlbuffet.scheduling import Call, Limits, Scheduler, Scheduling
from mlbuffet.scheduling.loop_budget import TURN, LoopBudget
from scheduled import Clock, Leases, call, doubled, run, until


async def warmed(scheduler: Scheduler, leases: Leases, one: Call) -> None:
    """Ask until the calls of one kind run on the loop."""
    while scheduler.run_now(one) is None:
        await scheduler.submit(one, leases)


@pytest.mark.usefixtures("clock")
def test_the_first_calls_run_in_threads_and_quick_ones_on_the_loop_then(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits())
    plugin.gate.set()

    async def test() -> None:
        assert scheduler.run_now(call(1)) is None
        assert doubled(await scheduler.submit(call(1), leases)) == [2]
        await warmed(scheduler, leases, call(1))
        assert doubled(scheduler.run_now(call(4))) == [8]
        assert len(plugin.batches) >= 10
        assert plugin.threads[0] != threading.get_ident() == plugin.threads[-1]
        assert scheduler.run_now(call(*range(100))) is None  # of this size there was none

    run(test)


def test_a_kind_of_calls_that_once_kept_the_loop_leaves_it(
    model_of: Callable[..., Model], clock: Clock, scheduling: Scheduling, leases: Leases
) -> None:
    def function(inputs: Tensors) -> Tensors:
        clock.now += float(inputs["x"][0])
        return {"y": inputs["x"]}

    x, y = (TensorSpec(name, np.float32, (None,)) for name in "xy")
    scheduler = scheduling.scheduler(model_of(function, Signature([x], [y])), Limits())

    async def test() -> None:
        await warmed(scheduler, leases, call(0))
        assert scheduler.run_now(call(0.03)) is not None
        for _ in range(20):
            await asyncio.sleep(0)
            assert scheduler.run_now(call(0)) is None
            await scheduler.submit(call(0), leases)

    run(test)


def test_quick_calls_share_the_time_of_a_turn_of_the_loop() -> None:
    async def test() -> None:
        loop_budget = LoopBudget()
        loop_budget.spend(TURN / 2)
        assert loop_budget.spent < TURN
        loop_budget.spend(TURN / 2)
        assert loop_budget.spent >= TURN
        await asyncio.sleep(0)
        assert loop_budget.spent < TURN

    run(test)


def test_so_many_run_so_many_wait_and_the_next_is_refused(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits(max_concurrency=2, max_queue=3))

    async def test() -> None:
        answers = [scheduler.submit(call(number), leases) for number in range(5)]
        with pytest.raises(Overloaded, match="2 calls run and 3 wait"):
            scheduler.submit(call(5), leases)
        with pytest.raises(Overloaded):
            scheduler.check_room()
        await until(lambda: len(plugin.batches) == 2)
        plugin.gate.set()
        assert [doubled(await answer) for answer in answers] == [[0], [2], [4], [6], [8]]
        scheduler.check_room()
        assert leases.held == 0
        assert plugin.seen == {0, 1, 2, 3, 4}

    run(test)


def test_a_model_without_limits_of_its_own_has_those_of_the_server(model: Model, plugin: Gated, leases: Leases) -> None:
    scheduling = Scheduling(limits=Limits(max_concurrency=1, max_queue=0))
    silent, patient = (scheduling.scheduler(model, limits) for limits in (Limits(), Limits(max_queue=1)))

    async def test() -> None:
        answers = [silent.submit(call(1), leases), patient.submit(call(2), leases), patient.submit(call(3), leases)]
        with pytest.raises(Overloaded, match="1 calls run and 0 wait"):
            silent.check_room()
        with pytest.raises(Overloaded, match="1 calls run and 1 wait"):
            patient.check_room()
        plugin.gate.set()
        await asyncio.gather(*answers)

    run(test)
    scheduling.close()


def test_without_a_queue_calls_that_can_run_are_taken(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits(max_concurrency=1, max_queue=0))
    plugin.gate.set()

    async def test() -> None:
        assert doubled(await scheduler.submit(call(1), leases)) == [2]
        assert doubled(await scheduler.submit(call(2), leases)) == [4]

    run(test)


def test_a_call_that_nobody_waits_for_leaves_the_queue_and_makes_room(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits(max_concurrency=1, max_queue=1))

    async def test() -> None:
        first, second = scheduler.submit(call(1), leases), scheduler.submit(call(2), leases)
        second.cancel()
        await asyncio.sleep(0)
        third = scheduler.submit(call(3), leases)
        assert leases.held == 2
        plugin.gate.set()
        assert (doubled(await first), doubled(await third)) == ([2], [6])
        assert plugin.seen == {1, 3}
        assert leases.held == 0

    run(test)


def test_a_call_that_runs_holds_the_model_also_when_nobody_waits_for_it(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits(max_concurrency=1))

    async def test() -> None:
        answer = scheduler.submit(call(1), leases)
        await until(lambda: plugin.seen == {1})
        answer.cancel()
        await asyncio.sleep(0.01)
        assert leases.held == 1
        plugin.gate.set()
        await until(lambda: leases.held == 0)
        assert doubled(await scheduler.submit(call(2), leases)) == [4]

    run(test)


@pytest.mark.usefixtures("clock")
def test_errors_reach_those_whose_call_they_are(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits())
    plugin.gate.set()

    async def test() -> None:
        with pytest.raises(UnknownSignature):
            scheduler.submit(Call({}, "lost"), leases)
        with pytest.raises(PredictFailed):
            await scheduler.submit(call(666), leases)
        await warmed(scheduler, leases, call(1))
        with pytest.raises(PredictFailed):
            scheduler.run_now(call(666))
        assert leases.held == 0

    run(test)


def test_a_call_that_outlives_the_loop_lets_the_model_go(
    model: Model, plugin: Gated, scheduling: Scheduling, leases: Leases
) -> None:
    scheduler = scheduling.scheduler(model, Limits())

    async def test() -> None:
        scheduler.submit(call(1), leases)
        await until(lambda: plugin.seen == {1})

    run(test)
    plugin.gate.set()
    while leases.held:
        time.sleep(0.001)
