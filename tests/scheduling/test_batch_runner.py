"""What waits while a call runs is the next batch, and each call gets what it would have got alone."""

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gated import Gated
from mlbuffet import InvalidInput, Model, PredictFailed, Signature, Signatures, Tensors, TensorSpec
from mlbuffet.scheduling import Batching, Call, Limits, Prediction, Scheduler, Scheduling
from scheduled import Clock, Leases, call, doubled, run, until

ONE_AT_A_TIME = Limits(max_concurrency=1)


@pytest.fixture
def batched(model: Model, plugin: Gated, scheduling: Scheduling) -> Callable[..., Scheduler]:
    """A function that makes a scheduler; the model's gate is closed again after it was tried."""

    def make(**batching: Any) -> Scheduler:
        plugin.gate.set()
        scheduler = scheduling.scheduler(model, ONE_AT_A_TIME, Batching(**batching))
        plugin.gate.clear()
        plugin.batches.clear()
        return scheduler

    return make


async def held_up(scheduler: Scheduler, plugin: Gated, leases: Leases) -> asyncio.Future[Prediction]:
    """A call that runs, behind which others wait."""
    running = scheduler.submit(call(0), leases)
    await until(lambda: plugin.batches == [[0]])
    return running


def test_what_waits_while_a_call_runs_is_the_next_batch(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched()

    async def test() -> None:
        first = await held_up(scheduler, plugin, leases)
        others = [scheduler.submit(call(*values), leases) for values in ([1, 2], [3], [4, 5, 6])]
        plugin.gate.set()
        assert doubled(await first) == [0]
        assert [doubled(await other) for other in others] == [[2, 4], [6], [8, 10, 12]]
        assert plugin.batches == [[0], [1, 2, 3, 4, 5, 6]]
        assert leases.held == 0
        executions = {id(other.result().execution) for other in others}
        assert (len(executions), others[0].result().rows) == (1, 2)
        execution = others[0].result().execution
        assert execution is not None
        assert execution.rows == 6
        assert [execution.count_once() for _ in others] == [True, False, False]

    run(test)


def test_a_batch_has_so_many_rows_at_most(batched: Callable[..., Scheduler], plugin: Gated, leases: Leases) -> None:
    scheduler = batched(max_size=4)

    async def test() -> None:
        first = await held_up(scheduler, plugin, leases)
        rows = [[1, 2], [3], [4, 5], [6], [7, 8, 9, 10, 11]]
        others = [scheduler.submit(call(*values), leases) for values in rows]
        plugin.gate.set()
        for other in [first, *others]:
            await other
        assert plugin.batches == [[0], [1, 2, 3], [4, 5, 6], [7, 8, 9, 10, 11]]

    run(test)


def test_one_bad_row_fails_alone(batched: Callable[..., Scheduler], plugin: Gated, leases: Leases) -> None:
    scheduler = batched()

    async def test() -> None:
        await held_up(scheduler, plugin, leases)
        good, bad, other = (scheduler.submit(call(value), leases) for value in (1, 666, 3))
        plugin.gate.set()
        assert doubled(await good) == [2]
        with pytest.raises(PredictFailed):
            await bad
        assert doubled(await other) == [6]
        assert plugin.batches == [[0], [1, 666, 3], [1], [666], [3]]

    run(test)


def test_who_leaves_before_a_batch_runs_is_not_in_it_and_who_leaves_while_it_runs_harms_no_mate(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched()

    async def test() -> None:
        first = await held_up(scheduler, plugin, leases)
        gone, mate, late = (scheduler.submit(call(value), leases) for value in (1, 2, 3))
        gone.cancel()
        plugin.gate.set()
        await first
        plugin.gate.clear()
        await until(lambda: len(plugin.batches) == 2)
        late.cancel()
        plugin.gate.set()
        assert doubled(await mate) == [4]
        assert plugin.batches == [[0], [2, 3]]
        await until(lambda: leases.held == 0)

    run(test)


def test_a_call_for_an_output_that_there_is_not_is_refused_before_it_joins_a_batch(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched()

    async def test() -> None:
        with pytest.raises(InvalidInput, match="there is no output 'z'"):
            scheduler.submit(Call(call(1).inputs, outputs=["z"]), leases)
        assert leases.held == 0

    run(test)


def test_a_call_waits_for_others_as_long_as_it_is_told_to(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched(max_size=3, max_delay_ms=30)
    plugin.gate.set()

    async def test() -> None:
        assert scheduler.run_now(call(1)) is None
        full = [scheduler.submit(call(value), leases) for value in (1, 2, 3)]
        assert [doubled(await one) for one in full] == [[2], [4], [6]]
        late = scheduler.submit(call(4), leases)
        await asyncio.sleep(0)
        also = scheduler.submit(call(5), leases)
        assert (doubled(await late), doubled(await also)) == ([8], [10])
        assert plugin.batches == [[1, 2, 3], [4, 5]]

    run(test)


def test_what_cannot_be_batched_waits_for_nobody(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched(max_delay_ms=60_000)
    plugin.gate.set()

    async def test() -> None:
        with pytest.raises(InvalidInput, match="input 'x' is missing"):
            await scheduler.submit(Call({}), leases)
        assert doubled(await scheduler.submit(call(), leases)) == []

    run(test)


@pytest.mark.usefixtures("clock")
def test_a_batch_is_filled_up_to_a_preferred_size(
    batched: Callable[..., Scheduler], plugin: Gated, leases: Leases
) -> None:
    scheduler = batched(max_size=8, preferred_sizes=[2, 4])

    async def test() -> None:
        plugin.gate.set()
        assert doubled(await scheduler.submit(call(7), leases)) == [14]
        plugin.gate.clear()
        first = scheduler.submit(call(0, 0, 0, 0, 0), leases)
        await until(lambda: len(plugin.batches) == 2)
        others = [scheduler.submit(call(value), leases) for value in (1, 2, 3)]
        plugin.gate.set()
        await first
        assert [doubled(await other) for other in others] == [[2], [4], [6]]
        assert plugin.batches == [[7, 7], [0, 0, 0, 0, 0], [1, 2, 3, 3]]
        execution = others[0].result().execution
        assert execution is not None
        assert execution.rows == 3
        for _ in range(20):
            await scheduler.submit(call(7), leases)
        assert doubled(scheduler.run_now(call(8))) == [16]
        assert plugin.batches[-1] == [8, 8]

    run(test)


@pytest.mark.parametrize(("seconds", "alone"), [(0.00002, True), (0.0002, False)])
def test_in_a_crowd_calls_leave_the_loop_for_a_batch_if_they_gain_by_it(
    model_of: Callable[..., Model], clock: Clock, scheduling: Scheduling, leases: Leases, seconds: float, alone: object
) -> None:
    def function(inputs: Tensors) -> Tensors:
        clock.now += seconds
        return {"y": inputs["x"]}

    x, y = (TensorSpec(name, np.float32, (None,)) for name in "xy")
    scheduler = scheduling.scheduler(model_of(function, Signature([x], [y])), Limits(), Batching())

    async def test() -> None:
        while scheduler.run_now(call(1)) is None:
            await scheduler.submit(call(1), leases)
        await asyncio.sleep(0)  # the next turn of the loop
        assert scheduler.run_now(call(1)) is not None
        assert (scheduler.run_now(call(1)) is not None) is alone

    run(test)


def test_a_model_that_forgets_rows_of_a_batch_answers_call_by_call(
    model_of: Callable[..., Model], scheduling: Scheduling, leases: Leases
) -> None:
    gate, sizes = Event(), list[int]()
    gate.set()

    def function(inputs: Tensors) -> Tensors:
        assert gate.wait(20)
        sizes.append(len(inputs["x"]))
        return {"y": inputs["x"][:3]}  # right for the three rows with which it is tried

    x, y = (TensorSpec(name, np.float32, (None,)) for name in "xy")
    scheduler = scheduling.scheduler(model_of(function, Signature([x], [y])), ONE_AT_A_TIME, Batching())

    async def test() -> None:
        gate.clear()
        sizes.clear()
        answers = [scheduler.submit(call(*range(count)), leases) for count in (1, 2, 3)]
        gate.set()
        assert [(await one).outputs["y"].tolist() for one in answers] == [[0], [0, 1], [0, 1, 2]]
        assert sizes == [1, 5, 2, 3]

    run(test)


def test_of_a_signature_those_variants_are_batched_that_can_be(
    model_of: Callable[..., Model], scheduling: Scheduling, leases: Leases
) -> None:
    gate, batches = Event(), list[list[float]]()
    gate.set()

    def function(inputs: Tensors) -> Tensors:
        assert gate.wait(20)
        batches.append(inputs["x"].tolist())
        return {"y": inputs["x"] if inputs["x"].dtype == np.int32 else np.sort(inputs["x"])}

    variants = [Signature([TensorSpec("x", d, (None,))], [TensorSpec("y", d, (None,))]) for d in ("int32", "float32")]
    scheduler = scheduling.scheduler(model_of(function, Signature.of_variants(variants)), ONE_AT_A_TIME, Batching())

    async def test() -> None:
        gate.clear()
        batches.clear()
        asked = [Call({"x": np.array([number], d)}) for number, d in enumerate([np.int32, np.float32] * 3)]
        answers = [scheduler.submit(one, leases) for one in asked]
        gate.set()
        await asyncio.gather(*answers)
        assert batches == [[0], [1], [2, 4], [3], [5]]

    run(test)


DTYPES = {"float32": np.float32, "int8": np.int8, "bool": np.bool_, "object": object}


def flipped(inputs: Tensors) -> Tensors:
    """A function of each row."""
    return {"y": np.flip(inputs["x"], axis=1), "first": inputs["x"][:, :1, 0]}


SPECS = {
    name: [TensorSpec(tensor, dtype, (None,) * rank) for tensor, rank in {"x": 3, "y": 3, "first": 2}.items()]
    for name, dtype in DTYPES.items()
}
FLIPPED = Signatures({name: Signature([x], [y, first]) for name, (x, y, first) in SPECS.items()}, default="float32")


def array(name: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    numbers = np.random.default_rng(seed).integers(-100, 100, shape)
    if name != "object":
        return numbers.astype(DTYPES[name])
    texts = np.empty(shape, object)
    for index in np.ndindex(*shape):
        texts[index] = b"%d" % numbers[index]
    return texts


CALLS = st.builds(
    lambda name, shape, seed, outputs: Call({"x": array(name, shape, seed)}, name, outputs),
    st.sampled_from(list(DTYPES)),
    st.tuples(st.integers(1, 5), st.integers(1, 2), st.integers(1, 2)),
    st.integers(0, 1000),
    st.sampled_from([None, ["y"], ["first", "y"], ["first"]]),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, min_size=1, max_size=12), max_size=st.integers(2, 8), preferred=st.sampled_from([[], [2]]))
def test_each_answer_is_that_of_the_call_alone_whatever_else_waits(
    model_of: Callable[..., Model], scheduling: Scheduling, calls: list[Call], max_size: int, preferred: list[int]
) -> None:
    gate, batches, leases = Event(), list[tuple[object, ...]](), Leases()
    gate.set()

    def function(inputs: Tensors) -> Tensors:
        assert gate.wait(20)
        batches.append((inputs["x"].dtype, inputs["x"].shape))
        return flipped(inputs)

    batching = Batching(max_size=max_size, preferred_sizes=preferred)
    scheduler = scheduling.scheduler(model_of(function, FLIPPED), ONE_AT_A_TIME, batching)

    async def test() -> None:
        gate.clear()
        batches.clear()
        answers = [scheduler.submit(one, leases) for one in calls]
        gate.set()
        for one, answer in zip(calls, answers, strict=True):
            alone = flipped(one.inputs)
            outputs = (await answer).outputs
            assert list(outputs) == list(one.outputs or alone)
            for name, values in outputs.items():
                np.testing.assert_array_equal(values, alone[name], strict=True)
        assert leases.held == 0

    run(test)
    kinds = {(one.inputs["x"].dtype, one.inputs["x"].shape[1:]) for one in calls}
    assert {(dtype, shape[1:]) for dtype, shape in batches} == kinds  # type: ignore[index]
    rows = sum(len(one.inputs["x"]) for one in calls)
    assert len(batches) <= len(calls)
    if not preferred:
        assert sum(shape[0] for _, shape in batches) == rows  # type: ignore[index]


def test_calls_with_different_sets_of_inputs_never_share_a_batch(
    model_of: Callable[..., Model], scheduling: Scheduling
) -> None:
    gate, batches, leases = Event(), list[tuple[str, ...]](), Leases()
    gate.set()
    x = TensorSpec("x", np.float32, ("batch", 2))
    shift = TensorSpec("shift", np.float32, ("batch",), optional=True)
    weights = TensorSpec("weights", np.float32, (2,), optional=True)  # without rows

    def function(inputs: Tensors) -> Tensors:
        assert gate.wait(20)
        batches.append((*inputs, f"{len(inputs['x'])} rows"))
        return {"y": inputs["x"] @ inputs.get("weights", np.ones(2, np.float32)) + inputs.get("shift", np.float32(0))}

    signature = Signature([x, shift, weights], [TensorSpec("y", np.float32, ("batch",))])
    scheduler = scheduling.scheduler(model_of(function, signature), ONE_AT_A_TIME, Batching(max_size=8))

    def asked(value: float, **others: Any) -> Call:
        rows = {name: np.array(other, np.float32) for name, other in others.items()}
        return Call({"x": np.full((1, 2), value, np.float32), **rows})

    calls = [
        asked(1),
        asked(2, shift=[10]),
        asked(3, weights=[1, 0]),
        asked(4),
        asked(5, shift=[20]),
        asked(6, weights=[0, 1]),
        asked(7, shift=[30], weights=[1, 0]),
    ]

    async def test() -> None:
        gate.clear()
        batches.clear()
        held = scheduler.submit(asked(0), leases)
        await until(lambda: scheduler.running == 1)
        answers = [scheduler.submit(one, leases) for one in calls]
        gate.set()
        await held
        values = [(await answer).outputs["y"].tolist() for answer in answers]
        assert values == [[2], [14], [3], [8], [30], [6], [37]]

    run(test)
    assert sorted(batches[1:]) == sorted(
        [
            ("x", "2 rows"),
            ("x", "shift", "2 rows"),
            *[("x", "weights", "1 rows")] * 2,
            ("x", "shift", "weights", "1 rows"),
        ]
    )
