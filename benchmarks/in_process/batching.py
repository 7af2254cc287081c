"""What batches gain: a model that 16 callers ask all the while, one by one in threads, and batched."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import mlbuffet
from artifacts import Array, artifact
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet.scheduling import Batching, Call, Limits, Scheduler, Scheduling
from rounds import Measure

CALLERS = 16


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("TensorFlow is imported")
    field = Field()
    with ExitStack() as stack:
        shared = stack.enter_context(closing(Scheduling()))
        for name in ("digits", "cnn"):
            chosen = artifact(name)
            model = stack.enter_context(mlbuffet.load(chosen.path))
            for contender, batching in {"one by one": None, "batched": Batching()}.items():
                scheduler = shared.scheduler(model, Limits(), batching)
                field.measures[Key(contender, name)] = _calls(scheduler, chosen.inputs, plan.seconds)
        yield field


def _calls(scheduler: Scheduler, inputs: dict[str, Array], seconds: int) -> Measure:
    async def measure() -> Round:
        begin = time.perf_counter()

        async def ask() -> int:
            count = 0
            while time.perf_counter() < begin + seconds:
                await scheduler.submit(Call(inputs), _Lease)
                count += 1
            return count

        counts = await asyncio.gather(*(ask() for _ in range(CALLERS)))
        return {"calls/s": sum(counts) / (time.perf_counter() - begin)}

    return lambda: asyncio.run(measure())


class _Lease:
    """Nobody unloads the model meanwhile."""

    def release(self) -> None:
        """Nothing to do."""


CASE = Case(name="batching", title="CNNs asked by 16 callers, without HTTP", unit="calls/s", prepare=_prepare)
