"""What a process of its own costs a model for each call, and what several of them gain, without HTTP."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import mlbuffet
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet.inference.local import LocalService
from mlbuffet.inference.request import InferenceRequest, ModelSelector
from mlbuffet.repository import ModelRepository, find_models
from rounds import Measure

_CALLERS = 8
_MODEL = """
import numpy as np
from mlbuffet_python import Float32, signature


class Model:
    @signature
    def scale(self, x: Float32["batch", "columns"]) -> {"y": Float32["batch", "columns"]}:
        return {"y": x * np.float32(0.5)}

    @signature
    def work(self, x: Float32["batch", "columns"]) -> {"y": Float32["batch", "columns"]}:
        total = 0
        for number in range(100_000):
            total += number
        return {"y": x + np.float32(total)}
"""
_PROCESS = "[process]\ninstances = {}\n"
_WAYS = {"in the server": "", "in a process": _PROCESS.format(1)}
_SIZES = {"4 floats": ((1, 4), 2000), "602 112 floats": ((4, 150_528), 40)}


@contextmanager
def _calls(plan: Plan) -> Iterator[Field]:
    plan.tell("a model in Python is loaded")
    with _loaded(_WAYS) as repository:
        field = Field()
        for size, (shape, calls) in _SIZES.items():
            inputs = {"x": np.ones(shape, np.float32)}
            for way, version in zip(_WAYS, repository, strict=True):
                field.measures[Key(way, size)] = _median(partial(version.model.predict, inputs), calls)
        yield field


@contextmanager
def _instances(plan: Plan) -> Iterator[Field]:
    plan.tell("a model in Python is loaded")
    ways = {**_WAYS, "in two processes": _PROCESS.format(2)}
    with _loaded(ways) as repository:
        service, field = LocalService(repository), Field()
        for way, version in zip(ways, repository, strict=True):
            field.measures[Key(way, f"{_CALLERS} callers")] = _throughput(service, version.name, plan.seconds)
        yield field


def _throughput(service: LocalService, model: str, seconds: int) -> Measure:
    """Calls a second of a method that holds Python's lock for some milliseconds."""
    request = InferenceRequest(model=ModelSelector(model), inputs={"x": np.ones((1, 4), np.float32)}, signature="work")

    async def measure() -> Round:
        begin = time.perf_counter()

        async def ask() -> int:
            count = 0
            while time.perf_counter() < begin + seconds:
                with await service.serve(request.model) as served:
                    await served.infer(request)
                count += 1
            return count

        counts = await asyncio.gather(*(ask() for _ in range(_CALLERS)))
        return {"calls/s": sum(counts) / (time.perf_counter() - begin)}

    return lambda: asyncio.run(measure())


def _median(call: Callable[[], object], calls: int) -> Measure:
    def measure() -> Round:
        took = []
        for _ in range(calls):
            begin = time.perf_counter()
            call()
            took.append(time.perf_counter() - begin)
        return {"us": median(took) * 1e6}

    return measure


@contextmanager
def _loaded(ways: Mapping[str, Any]) -> Iterator[ModelRepository]:
    """A model for each of ``ways``, whose values are texts of a model.toml, in their order."""
    runtimes = mlbuffet.Runtimes()
    runtimes.discover()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        for number, configuration in enumerate(ways.values()):
            folder = Path(place, f"m{number}")
            (folder / "1").mkdir(parents=True)
            (folder / "1/model.py").write_text(_MODEL)
            (folder / "model.toml").write_text(configuration)
        repository = stack.enter_context(closing(ModelRepository(runtimes)))
        repository.update(find_models(Path(place), runtimes))
        repository.load_all()
        yield repository


CASES = (
    Case(name="process", title="A call of a model in a process of its own, without HTTP", unit="us", prepare=_calls),
    Case(
        name="process-instances",
        title="A model in Python that computes for some milliseconds, without HTTP",
        unit="calls/s",
        prepare=_instances,
    ),
)
