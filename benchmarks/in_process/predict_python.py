"""What models in Python cost over their methods, and pipelines over their models called one after the other."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import mlbuffet
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet.repository import ModelRepository, find_models

_CALLS = 1000
_MODEL = """
import numpy as np
from mlbuffet_python import Float32, Text, signature


class Model:
    @signature
    def scale(self, x: Float32["batch", 4]) -> {"y": Float32["batch", 4]}:
        return {"y": x * np.float32(0.5)}

    @signature
    def shout(self, text: Text["batch"]) -> {"loud": Text["batch"]}:
        return {"loud": [one.upper() for one in text]}
"""
_CHAIN = """
[steps]
a = {inputs = {x = "x"}}
b = {inputs = {x = "a.y"}}
c = {inputs = {x = "b.y"}}
d = {inputs = {x = "c.y"}}
[outputs]
y = "d.y"
"""
_FORK = """
[steps]
a = {inputs = {x = "x"}}
b = {inputs = {x = "a.y"}}
c = {inputs = {x = "a.y"}}
d = {inputs = {x = "c.y"}}
[outputs]
left = "b.y"
right = "d.y"
"""
_X = np.ones((1, 4), np.float32)


@contextmanager
def _python(plan: Plan) -> Iterator[Field]:
    plan.tell("a model in Python is loaded")
    text = np.array([b"good tea"], object)
    with tempfile.TemporaryDirectory() as place, _written(Path(place), "a") as folder:
        scope: dict[str, Any] = {}
        exec(_MODEL, scope)
        direct = scope["Model"]()
        with mlbuffet.load(folder / "a") as model:
            yield Field(
                {
                    Key("the method", "numbers"): _median(partial(direct.scale, _X), _CALLS),
                    Key("Model.predict", "numbers"): _median(partial(model.predict, {"x": _X}), _CALLS),
                    Key("the method", "text"): _median(partial(direct.shout, ["good tea"]), _CALLS),
                    Key("Model.predict", "text"): _median(
                        partial(model.predict, {"text": text}, signature="shout"), _CALLS
                    ),
                }
            )


@contextmanager
def _pipelines(plan: Plan) -> Iterator[Field]:
    plan.tell("pipelines of four models in Python are loaded")
    runtimes = mlbuffet.Runtimes()
    runtimes.discover()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack, _written(Path(place), "abcd") as folder:
        for name, text in {"chain": _CHAIN, "fork": _FORK}.items():
            (folder / name).mkdir()
            (folder / name / "pipeline.toml").write_text(text)
        repository = stack.enter_context(closing(ModelRepository(runtimes)))
        repository.update(find_models(folder, runtimes))
        repository.load_all()
        models = {one.name: stack.enter_context(one.use()).model for one in repository}
        field = Field()
        for name, order in {"chain": ["x", "a", "b", "c"], "fork": ["x", "a", "a", "c"]}.items():
            one_by_one = _one_by_one([(models[step], given) for step, given in zip("abcd", order, strict=True)])
            field.measures[Key("four times Model.predict", name)] = _median(one_by_one, _CALLS)
            whole = partial(models[name].predict, {"x": _X})
            field.measures[Key("the pipeline", name)] = _median(whole, _CALLS)
        yield field


def _one_by_one(steps: list[tuple[mlbuffet.Model, str]]) -> Callable[[], object]:
    names = dict(zip("abcd", range(4), strict=True))

    def call() -> object:
        values: list[Any] = []
        for model, given in steps:
            values.append(model.predict({"x": _X if given == "x" else values[names[given]]})["y"])
        return values

    return call


def _median(call: Callable[[], object], calls: int) -> Callable[[], Round]:
    """Of so many calls, each measured: what comes in between on a busy machine is not theirs."""

    def measure() -> Round:
        took = []
        for _ in range(calls):
            begin = time.perf_counter()
            call()
            took.append(time.perf_counter() - begin)
        return {"us": median(took) * 1e6}

    return measure


@contextmanager
def _written(place: Path, names: str) -> Iterator[Path]:
    for name in names:
        (place / name).mkdir()
        (place / name / "model.py").write_text(_MODEL)
    yield place


CASES = (
    Case(
        name="predict-python",
        title="A method of a model in Python, in process",
        unit="us",
        prepare=_python,
        asked_for=True,
    ),
    Case(
        name="predict-pipeline",
        title="A pipeline of four small models, in process",
        unit="us",
        prepare=_pipelines,
        asked_for=True,
    ),
)
