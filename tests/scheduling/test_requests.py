"""A runtime is told of the calls in a batch what holds for all of them, and limits follow what it says of a model."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gated import Gated, runtimes_with
from mlbuffet import InvalidInput, ParameterSpec, Request, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.loading import load
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.scheduling import Batching, Call, Deadline, Limits, Scheduler, Scheduling
from scheduled import Leases, run, until


class Knowing(Gated):
    """Keeps the requests that it answers, and takes a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x, y, z = (TensorSpec(name, np.float32, (None,)) for name in "xyz")
        parameters = {"factor": ParameterSpec(float, default=2.0)}
        return Signatures({"serving_default": Signature([x], [y, z], parameters=parameters)})

    @hookimpl
    def predict(  # type: ignore[override]  # a plugin may take more
        self, model: object, signature: str, inputs: Tensors, request: Request
    ) -> Tensors:
        self.requests.append(request)
        self.batches.append(inputs["x"].tolist())
        assert self.gate.wait(20)
        whole = {"y": inputs["x"] * np.float32(request.parameters["factor"]), "z": inputs["x"] + 1}
        return {name: whole[name] for name in request.outputs}


@pytest.fixture
def knowing() -> Knowing:
    return Knowing()


@pytest.fixture
def scheduler(tmp_path: Path, knowing: Knowing, scheduling: Scheduling) -> Scheduler:
    (tmp_path / "m.gated").touch()
    knowing.gate.set()
    model = load(tmp_path / "m.gated", runtimes=runtimes_with(knowing))
    made = scheduling.scheduler(model, Limits(max_concurrency=1), Batching())
    knowing.gate.clear()
    knowing.requests.clear()
    knowing.batches.clear()
    return made


def together(scheduler: Scheduler, knowing: Knowing, leases: Leases, calls: list[Call]) -> list[dict[str, list[float]]]:
    """The outputs of ``calls`` that wait behind one that runs, each of a request of its own."""
    answers: list[dict[str, list[float]]] = []

    async def test() -> None:
        first = scheduler.submit(Call({"x": np.zeros(1, np.float32)}), leases)
        await until(lambda: knowing.batches == [[0]])
        waiting = []
        for number, one in enumerate(calls):
            REQUEST_IDS.set(b"request-%d" % number)
            waiting.append(scheduler.submit(one, leases))
        knowing.gate.set()
        await first
        outputs = [(await one).outputs for one in waiting]
        answers.extend({name: array.tolist() for name, array in one.items()} for one in outputs)

    run(test)
    del knowing.requests[0]
    return answers


def call(value: float, **arguments: Any) -> Call:
    return Call({"x": np.array([value], np.float32)}, **arguments)


def test_a_batch_says_what_all_its_requests_want(scheduler: Scheduler, knowing: Knowing, leases: Leases) -> None:
    calls = [call(1, outputs=["z"]), call(2, outputs=["y", "z"]), call(3, outputs=["y"])]
    answers = together(scheduler, knowing, leases, calls)
    assert answers == [{"z": [2]}, {"y": [4], "z": [3]}, {"y": [6]}]
    (request,) = knowing.requests
    assert request.outputs == ("z", "y")
    assert request.ids == ("request-0", "request-1", "request-2")


def test_a_batch_computes_what_one_of_its_requests_wants(
    scheduler: Scheduler, knowing: Knowing, leases: Leases
) -> None:
    together(scheduler, knowing, leases, [call(1, outputs=["z"]), call(2)])
    assert knowing.requests[0].outputs == ("y", "z")


@pytest.mark.parametrize(("deadlines", "latest"), [([5, 9, 7], 9), ([5, None], None)])
def test_the_deadline_of_a_batch_is_that_of_its_last_request(
    scheduler: Scheduler, knowing: Knowing, leases: Leases, deadlines: list[float | None], latest: float | None
) -> None:
    now = time.monotonic() + 20
    calls = [call(1, deadline=None if at is None else Deadline(now + at, 1)) for at in deadlines]
    together(scheduler, knowing, leases, calls)
    assert [request.deadline for request in knowing.requests] == [None if latest is None else now + latest]


def test_calls_with_other_parameters_share_no_batch(scheduler: Scheduler, knowing: Knowing, leases: Leases) -> None:
    parameters: list[dict[str, Any]] = [{}, {"factor": 3}, {"factor": 2}, {"factor": 3.0, "priority": 1}]
    calls = [call(value, parameters=one, outputs=["y"]) for value, one in enumerate(parameters)]
    answers = together(scheduler, knowing, leases, calls)
    assert answers == [{"y": [0]}, {"y": [3]}, {"y": [4]}, {"y": [9]}]
    assert [(request.parameters["factor"], len(request.ids)) for request in knowing.requests] == [(2, 2), (3, 2)]


def test_an_undeclared_parameter_is_refused_before_the_call_waits(
    scheduler: Scheduler, knowing: Knowing, leases: Leases
) -> None:
    async def test() -> None:
        with pytest.raises(InvalidInput, match="there is no parameter 'top'"):
            scheduler.submit(call(1, parameters={"top": 1}), leases)

    run(test)
    assert leases.held == 0


@pytest.mark.parametrize(
    ("says", "limits", "concurrency"),
    [
        (1, Limits(), 1),
        (9, Limits(), 9),
        (9, Limits(max_concurrency=3), 3),
        (2, Limits(max_concurrency=3), 2),
    ],
)
def test_a_model_runs_so_many_calls_at_once_as_it_can(says: int, limits: Limits, concurrency: int) -> None:
    assert limits.within(says).concurrency == concurrency
    assert limits.within(None) is limits


def test_no_thread_waits_for_a_model_that_runs_one_call_at_a_time(
    tmp_path: Path, scheduling: Scheduling, leases: Leases
) -> None:
    class Single(Gated):
        under_way = most = 0
        lock = threading.Lock()

        @hookimpl
        def concurrency(self, model: object) -> int:
            return 1

        @hookimpl
        def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
            assert self.lock.acquire(blocking=False), "a thread would wait"
            try:
                return dict(super().predict(model, signature, inputs))
            finally:
                self.lock.release()

    plugin = Single()
    plugin.gate.set()
    (tmp_path / "m.gated").touch()
    made = scheduling.scheduler(load(tmp_path / "m.gated", runtimes=runtimes_with(plugin)), Limits(max_concurrency=4))

    async def test() -> None:
        await asyncio.gather(*[made.submit(call(value), leases) for value in range(50)])

    run(test)
    assert len(plugin.batches) == 50


def test_a_model_may_be_kept_off_the_event_loop(
    tmp_path: Path, scheduling: Scheduling, leases: Leases, plugin: Gated, model_of: Callable[..., Any]
) -> None:
    x = [TensorSpec("x", np.float32, (None,))]
    made = scheduling.scheduler(model_of(lambda inputs: dict(inputs), Signature(x, x)), Limits(), in_threads=True)

    async def test() -> None:
        for value in range(20):
            assert not made.may_run_now
            assert made.run_now(call(value)) is None
            await made.submit(call(value), leases)

    run(test)
