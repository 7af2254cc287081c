"""How many calls a second a CNN answers that one thread asks, and eight at once; every answer is compared."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import mlbuffet
from artifacts import Artifact, artifact
from case import Case, Field, Plan
from figures import Key, Round
from rounds import Measure


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("TensorFlow is imported")
    chosen = artifact("cnn")
    field = Field()
    with mlbuffet.load(chosen.path) as model:
        for threads in (1, 8):
            measure = _calls_a_second(model, chosen, threads, plan.seconds)
            field.measures[Key(f"{threads} thread{'s' if threads > 1 else ''}")] = measure
        yield field


def _calls_a_second(model: mlbuffet.Model, chosen: Artifact, threads: int, seconds: int) -> Measure:
    def call(counts: list[int], end: float) -> None:
        while time.perf_counter() < end:
            np.testing.assert_allclose(model.predict(chosen.inputs)["y"], chosen.outputs["y"], rtol=1e-4)
            counts.append(1)

    def measure() -> Round:
        counts: list[int] = []
        end = time.perf_counter() + seconds
        callers = [threading.Thread(target=call, args=(counts, end)) for _ in range(threads)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        return {"calls/s": len(counts) / seconds}

    return measure


CASE = Case(name="threads", title="Calls of a CNN from one thread and from eight", unit="calls/s", prepare=_prepare)
