"""What the loads and unloads of a CNN leave behind in a process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

import mlbuffet
from artifacts import artifact
from case import Case, Field, Plan
from figures import Key, Round

LOADS = 20


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("TensorFlow is imported")
    chosen = artifact("cnn")

    def measure() -> Round:
        before = psutil.Process().memory_info().rss
        for _ in range(LOADS):
            with mlbuffet.load(chosen.path) as model:
                model.predict(chosen.inputs)
            del model
            gc.collect()
        return {"MB": (psutil.Process().memory_info().rss - before) / 2**20}

    yield Field({Key(f"{LOADS} loads and unloads"): measure})


CASE = Case(name="memory", title="Growth of a process that loads and unloads a CNN", unit="MB", prepare=_prepare)
