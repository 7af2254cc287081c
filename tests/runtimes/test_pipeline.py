"""Pipelines: their signature follows from their steps, which run at once where they can, and errors name the step."""

import json
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from textwrap import dedent
from threading import Barrier, Event, get_ident
from typing import Any

import httpx
import numpy as np
import pytest

import mlbuffet
from mlbuffet import (
    InvalidInput,
    InvalidOptions,
    LoadContext,
    LoadFailed,
    ModelNotReady,
    PredictFailed,
    Runtimes,
    Signature,
    Signatures,
    Tensors,
    TensorSpec,
    hookimpl,
)
from mlbuffet.repository import ModelRepository, Sources, State
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet.testing.neighbours import Neighbour
from mlbuffet_pipeline._plan import Plan, PlannedStep
from mlbuffet_pipeline.plugin import PipelineRuntime
from python_models import write_model
from waiting import wait_for

F32 = np.float32


def signature_of(text: str) -> Signature:
    """``x: float32 (batch, 4); m: bool () optional -> y: int64 (batch)`` as a signature."""
    inputs, _, outputs = text.partition("->")
    return Signature([spec_of(one) for one in inputs.split(";")], [spec_of(one) for one in outputs.split(";")])


def spec_of(text: str) -> TensorSpec:
    """``text`` is a dtype for bytes, ``any`` a dimension without a name, and ``(rank)`` any rank."""
    found = re.fullmatch(r"\s*(\w+): (\w+) \((.*)\)( optional)?\s*", text)
    assert found, text
    name, dtype, dimensions, optional = found.groups()
    sizes = [None if one == "any" else int(one) if one.isdigit() else one for one in re.findall(r"\w+", dimensions)]
    shape = None if sizes == ["rank"] else sizes
    return TensorSpec(name, object if dtype == "text" else dtype, shape, optional=bool(optional))


class Declared:
    """A model whose file declares signatures, and that gives zeros; what it does besides, a test says in ``acts``."""

    def __init__(self) -> None:
        self.acts: dict[str, Callable[[Tensors], Tensors | None]] = {}
        self.seen: list[tuple[str, tuple[str, ...]]] = []

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A .declared file."""
        return path.suffix == ".declared"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> Any:
        variants = [signature_of(line) for line in path.read_text().splitlines()]
        signature = variants[0] if len(variants) == 1 else Signature.of_variants(variants)
        return context.name, Signatures({"serving_default": signature})

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        signatures: Signatures = model[1]
        return signatures

    @hookimpl
    def predict(self, model: Any, signature: str, inputs: Tensors, request: mlbuffet.Request) -> Tensors:
        name, signatures = model
        self.seen.append((name, request.outputs))
        if name in self.acts and (given := self.acts[name](inputs)) is not None:
            return given
        specs = signatures[signature].variant_for(inputs).outputs.values()
        rows = len(next(iter(inputs.values()), [0]))
        return {spec.name: np.zeros([rows] if spec.shape else [], spec.dtype) for spec in specs}


@pytest.fixture
def declared() -> Declared:
    return Declared()


@pytest.fixture
def repository(tmp_path: Path, declared: Declared) -> Iterator[Callable[..., ModelRepository]]:
    """A function that serves models, by name the text of their signatures, and the pipeline ``p``."""
    runtimes = Runtimes()
    runtimes.register(declared, name="declared")
    runtimes.register(PipelineRuntime(), name="pipeline")
    made = ModelRepository(runtimes)

    def serve(models: Mapping[str, str], pipeline: str | None = None) -> ModelRepository:
        for name, text in models.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "m.declared").write_text(dedent(text).strip())
        if pipeline is not None:
            (tmp_path / "p").mkdir(exist_ok=True)
            (tmp_path / "p" / "pipeline.toml").write_text(dedent(pipeline))
        made.update(Sources([tmp_path], runtimes).find())
        made.load_all()
        return made

    yield serve
    made.close()


def shown(repository: ModelRepository) -> str:
    """The signature of the pipeline."""
    version = repository.get("p")
    assert version.error is None, version.error
    (found,) = version.model.signatures.values()
    texts = [
        f"{'; '.join(map(str, one.inputs.values()))} -> {'; '.join(map(str, one.outputs.values()))}"
        for one in found.variants or (found,)
    ]
    return "\n".join(texts)


def reason(repository: ModelRepository) -> str:
    version = repository.get("p")
    assert isinstance(version.error, LoadFailed), version.error
    return version.error.reason


def ask(repository: ModelRepository, inputs: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    with repository.get("p").use() as handle:
        return dict(handle.model.predict(inputs, **arguments))


CHAIN = """
    outputs = {y = "b.y"}
    [steps.b]
    inputs = {x = "a.y"}
    [steps.a]
    inputs = {x = "x"}
"""


@pytest.mark.parametrize(
    ("a", "b", "whole"),
    [
        ("x: float32 (n, 4) -> y: int64 (n,)", "x: int64 (m,) -> y: bool (m,)", "x: float32 (n, 4) -> y: bool (n,)"),
        ("x: float32 (n, k) -> y: int64 (n, k)", "x: int64 (m, 8) -> y: bool (m)", "x: float32 (n, 8) -> y: bool (n,)"),
        ("x: float32 (any) -> y: int64 (any)", "x: int64 (m) -> y: bool (m)", "x: float32 (any,) -> y: bool (m,)"),
        ("x: float32 (n) -> y: int64 (any)", "x: int64 (n) -> y: bool (n)", "x: float32 (n,) -> y: bool (b.n,)"),
        ("x: float32 (n) -> y: int64 (rank)", "x: int64 (m, 3) -> y: bool (m)", "x: float32 (n,) -> y: bool (m,)"),
        ("x: text (n) -> y: text (n)", "x: text (rank) -> y: text ()", "x: bytes (n,) -> y: bytes ()"),
        (
            "x: int64 (n) -> y: int64 (n)\nx: float32 (n) -> y: float32 (n)",
            "x: float32 (m) -> y: bool (m)",
            "x: float32 (n,) -> y: bool (n,)",
        ),
        (
            "x: int64 (n) -> y: int64 (n)\nx: float32 (n) -> y: float32 (n)",
            "x: int64 (m) -> y: bool (m)\nx: float32 (m) -> y: bool (m)",
            "x: int64 (n,) -> y: bool (n,)\nx: float32 (n,) -> y: bool (n,)",
        ),
    ],
)
def test_the_signature_follows_from_those_of_the_steps(
    repository: Callable[..., ModelRepository], a: str, b: str, whole: str
) -> None:
    assert shown(repository({"a": a, "b": b}, CHAIN)) == whole


def test_one_input_may_go_to_several_steps_and_is_optional_where_all_can_do_without(
    repository: Callable[..., ModelRepository],
) -> None:
    models = {
        "a": "x: float32 (n, any); m: bool (n) optional; o: bool (n) optional -> y: int64 (n)",
        "b": "x: float32 (rows, 4); m: bool (rows); o: bool (rows) optional -> y: int64 (rows)",
    }
    pipeline = """
        description = "Both"
        outputs = {one = "a.y", two = "b.y"}
        [steps.a]
        inputs = {x = "x", m = "mask", o = "other"}
        [steps.b]
        inputs = {x = "x", m = "mask", o = "other"}
    """
    served = repository(models, pipeline)
    taken = "x: float32 (n, 4); mask: bool (n,); other: bool (n,) optional"
    assert shown(served) == f"{taken} -> one: int64 (n,); two: int64 (n,)"
    assert served.get("p").model.signatures["serving_default"].description == "Both"
    assert ask(served, {"x": np.zeros((2, 4), F32), "mask": [True, False]})["two"].tolist() == [0, 0]


ONE = "x: float32 (n, 4) -> y: int64 (n)"
TWO = "x: int64 (m) -> y: bool (m)"


@pytest.mark.parametrize(
    ("models", "pipeline", "wanted"),
    [
        (
            {"a": ONE, "b": "x: int32 (m) -> y: bool (m)"},
            CHAIN,
            "the step 'b': it takes x: int32 (m,), and 'a.y' comes as (n,) int64: their dtypes differ",
        ),
        ({"a": ONE, "b": "x: int64 (m, 2) -> y: bool (m)"}, CHAIN, "their ranks differ"),
        (
            {"a": "x: float32 (4) -> y: int64 (8)", "b": "x: int64 (9) -> y: bool ()"},
            CHAIN,
            "and 'a.y' comes as (8,) int64: 8 is not 9",
        ),
        ({"a": "x: float32 (n) -> y: int64 (n, n)", "b": "x: int64 (2, 3) -> y: bool ()"}, CHAIN, "2 is not 3"),
        ({"a": ONE}, CHAIN, "it calls the model 'b', and there is none of that name beside it"),
        (
            {"a": "x: float32 (n); z: bool () -> y: int64 (n)", "b": TWO},
            CHAIN,
            "the step 'a': nothing is said of its input z: bool ()",
        ),
        (
            {"a": ONE, "b": TWO},
            CHAIN.replace('{x = "x"}', '{z = "x"}'),
            "the step 'a': there is no input 'z'; its model takes x: float32 (n, 4)",
        ),
        (
            {"a": ONE, "b": TWO},
            CHAIN.replace("a.y", "a.z"),
            "the step 'b': there is no 'a.z'; the step gives y: int64 (n,)",
        ),
        ({"a": ONE, "b": TWO}, CHAIN.replace("b.y", "b.z"), "outputs: there is no 'b.z'; the step gives y: bool (m,)"),
        ({"a": ONE, "b": TWO}, CHAIN.replace("a.y", "c.y"), "'c.y': there is no step 'c'; the steps are b, a"),
        (
            {"a": ONE, "b": TWO},
            CHAIN.replace('"a.y"', '"a"'),
            "'a' is a step: write which of its outputs is meant, as in 'a.OUTPUT'",
        ),
        ({"a": ONE, "b": TWO}, CHAIN.replace('"x"', '"b.y"'), "the steps wait for each other in a circle: b -> a -> b"),
        (
            {"a": ONE, "b": TWO},
            CHAIN.replace("b.y", "a.y"),
            "the step 'b' is of no use: neither a step nor [outputs] takes",
        ),
        ({"a": ONE, "b": TWO}, CHAIN.replace("b.y", "x"), "'x' is no output of a step"),
        (
            {"a": ONE, "b": TWO},
            CHAIN + "modle = 'a'",
            "pipeline.toml: the step 'a': it contains unknown field 'modle'; the keys of a step are inputs, model,",
        ),
        (
            {"a": ONE, "b": TWO},
            CHAIN.replace('inputs = {x = "x"}', "inputs = {x = 1}"),
            "pipeline.toml: the step 'a': expected 'str', got 'int' - at 'inputs[...]'",
        ),
        (
            {"a": ONE, "b": TWO},
            CHAIN + "[output]\ny = 1",
            "pipeline.toml: it contains unknown field 'output'; the keys are",
        ),
        (
            {"a": ONE},
            CHAIN.replace("steps", "step"),
            "its pipeline.toml has [step...] and no [steps.NAME], which is how a step is written",
        ),
        (
            {"a": ONE},
            "[outputs]",
            "its pipeline.toml has no steps; write [steps.NAME] for each model that it calls, and [outputs]",
        ),
        ({"a": ONE, "b": TWO}, CHAIN + "signature = 'no'", "the step 'a': there is no signature 'no'"),
        ({"a": ONE, "b": TWO}, CHAIN + "parameters = {t = 1}", "the step 'a': there is no parameter 't'"),
        ({"a": ONE, "b": TWO}, 'parameters = {t = "a.t"}' + CHAIN, "parameters: 'a.t' is no parameter of a step"),
        ({"a": ONE, "b": TWO}, "[steps]\n[outputs]", "there are no [outputs]"),
        ({"a": ONE, "b": TWO}, "[steps", "it is no TOML: "),
        (
            {"a": ONE, "b": TWO},
            '[steps."a.b"]\ninputs = {}\n[outputs]\ny = "a.y"',
            "the step 'a.b' has a dot in its name",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_loaded(
    repository: Callable[..., ModelRepository], models: dict[str, str], pipeline: str, wanted: str
) -> None:
    assert wanted in reason(repository(models, pipeline))


def test_steps_may_name_other_models_and_pipelines_call_pipelines(
    repository: Callable[..., ModelRepository], tmp_path: Path
) -> None:
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "pipeline.toml").write_text('outputs = {y = "s.y"}\n[steps.s]\nmodel = "a"\ninputs = {x = "x"}')
    twice = """
        outputs = {y = "two.y"}
        [steps]
        one = {model = "q", inputs = {x = "x"}}
        two = {model = "q", inputs = {x = "one.y"}}
    """
    served = repository({"a": "x: float32 (n) -> y: float32 (n)"}, twice)
    assert shown(served) == "x: float32 (n,) -> y: float32 (n,)"
    assert ask(served, {"x": [1.0, 2.0]})["y"].tolist() == [0, 0]
    circle = 'outputs = {y = "s.y"}\n[steps.s]\nmodel = "p"\ninputs = {x = "x"}'
    (tmp_path / "q" / "pipeline.toml").write_text(circle)
    repository({})
    wait_for(lambda: served.get("q").error is not None)
    assert "the models call each other in a circle: q -> p -> q" in str(served.get("q").error)


WIDE = """
    outputs = {l = "left2.y", r = "right.y"}
    [steps]
    left = {model = "a", inputs = {x = "x"}}
    left2 = {model = "b", inputs = {x = "left.y"}}
    right = {model = "c", inputs = {x = "x"}}
"""
SAME = dict.fromkeys("abc", "x: float32 (n) -> y: float32 (n)")


def test_steps_that_do_not_wait_for_each_other_run_at_once(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    second_left_runs, threads = Event(), set[int]()
    both = Barrier(2)
    ids: list[bytes] = []

    def meet(_: Tensors) -> None:
        threads.add(get_ident())
        ids.append(REQUEST_IDS.get())
        both.wait(20)

    def right(inputs: Tensors) -> None:
        meet(inputs)
        assert second_left_runs.wait(20), "the second step of the left waits for the right one"

    declared.acts = {"a": meet, "c": right, "b": lambda _: second_left_runs.set()}
    served = repository(SAME, WIDE)
    own = copy_context()
    own.run(REQUEST_IDS.set, b"an-id")
    assert set(own.run(ask, served, {"x": [1.0]})) == {"l", "r"}
    assert len(threads) == 2
    assert ids == [b"an-id", b"an-id"]


def test_quick_steps_go_without_a_thread(repository: Callable[..., ModelRepository], declared: Declared) -> None:
    served, threads = repository(SAME, WIDE), list[int]()
    declared.acts = dict.fromkeys("abc", lambda _: threads.append(get_ident()))

    def all_ran_here() -> bool:
        threads.clear()
        ask(served, {"x": [1.0]})
        return set(threads) == {get_ident()}

    wait_for(all_ran_here)  # the first call of a step is not known to be quick


def test_many_calls_at_once_get_their_own_answers(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    declared.acts = dict.fromkeys("abc", lambda inputs: {"y": inputs["x"] * 2})
    served = repository(SAME, WIDE)

    def call(number: int) -> bool:
        answer = ask(served, {"x": [float(number)]})
        return bool(answer["l"] == [4 * number] and answer["r"] == [2 * number])

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(call, range(200)))


def test_nothing_is_copied_between_steps(repository: Callable[..., ModelRepository], declared: Declared) -> None:
    made: list[Any] = []
    got: list[Any] = []

    def first(inputs: Tensors) -> Tensors:
        made.append(np.array(inputs["x"]))
        return {"y": made[-1]}

    declared.acts = {"a": first, "b": lambda inputs: got.append(inputs["x"])}
    served = repository(SAME, CHAIN)
    ask(served, {"x": [1.0, 2.0]})
    assert got[-1] is made[-1]


def test_only_the_steps_of_wanted_outputs_run_and_only_outputs_that_are_taken_are_asked_for(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    served = repository({**SAME, "c": "x: float32 (n) -> y: float32 (n); z: float32 (n)"}, WIDE)
    declared.seen.clear()
    assert list(ask(served, {"x": [1.0]}, outputs=["r"])) == ["r"]
    assert declared.seen == [("c", ("y",))]


@pytest.mark.parametrize("pipeline", [CHAIN, WIDE])
def test_a_failure_names_the_step(
    repository: Callable[..., ModelRepository], declared: Declared, pipeline: str
) -> None:
    def fail(_: Tensors) -> None:
        raise ValueError("a secret")

    served = repository(SAME, pipeline)
    declared.acts = {"b": fail}
    name = "b" if pipeline is CHAIN else "left2"
    with pytest.raises(PredictFailed, match="a secret") as caught:
        ask(served, {"x": [1.0]})
    assert caught.value.public == (
        f"the model failed to compute signature 'serving_default': in the step '{name}'; the server's log has the cause"
    )

    def refuse(_: Tensors) -> None:
        raise InvalidInput("it is too long")

    declared.acts = {"b": refuse}
    with pytest.raises(PredictFailed, match="the model 'b': it is too long") as caught:
        ask(served, {"x": [1.0]})
    giver = "a" if pipeline is CHAIN else "left"
    assert f"in the step '{name}', which refuses what '{giver}' gave: the model 'b'" in caught.value.public
    declared.acts = {"a": refuse}
    with pytest.raises(InvalidInput, match=r"the step '(a|left)': the model 'a': it is too long"):
        ask(served, {"x": [1.0]})


def test_what_a_step_refuses_that_gets_both_is_what_the_client_sent_unless_the_other_does_not_fit(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    models = {"a": "x: float32 (n) -> y: int64 (any)", "b": "x: float32 (m); y: int64 (2) -> y: bool (any)"}
    pipeline = """
        outputs = {y = "b.y"}
        [steps.a]
        inputs = {x = "x"}
        [steps.b]
        inputs = {x = "other", y = "a.y"}
    """
    served = repository(models, pipeline)

    def refuse(_: Tensors) -> None:
        raise InvalidInput("it is too long")

    declared.acts = {"b": refuse}
    with pytest.raises(InvalidInput, match="the step 'b'"):
        ask(served, {"x": [1.0, 2.0], "other": [1.0]})
    with pytest.raises(
        PredictFailed, match="in the step 'b', which refuses what 'a' gave: the model 'b': input 'y' has"
    ):
        ask(served, {"x": [1.0], "other": [1.0]})


def test_a_failure_beside_other_steps_waits_for_them(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    begun, ended = Event(), Event()

    def fail(_: Tensors) -> None:
        assert begun.wait(20)
        raise ValueError("no")

    def long(_: Tensors) -> None:
        begun.set()
        threading.Event().wait(0.05)
        ended.set()

    declared.acts = {"a": fail, "c": long}
    with pytest.raises(PredictFailed, match="in the step 'left'"):
        ask(repository(SAME, WIDE), {"x": [1.0]})
    assert ended.is_set()


def test_a_new_version_of_a_step_is_used(
    repository: Callable[..., ModelRepository], declared: Declared, tmp_path: Path
) -> None:
    served = repository({"a": "x: float32 (n) -> y: float32 (n)", "b": "x: float32 (n) -> y: float32 (n)"}, CHAIN)
    pipeline, before = served.get("p"), served.get("b")
    repository({"b": "x: float32 (rows) -> y: float32 (rows); more: bool ()"})
    wait_for(lambda: served.get("b") is not before)
    assert ask(served, {"x": [1.0]})["y"].tolist() == [0]
    wait_for(lambda: served.get("p") is not pipeline)  # it was loaded again, as the step is another
    assert ask(served, {"x": [1.0]})["y"].tolist() == [0]


def test_a_pipeline_follows_a_step_that_takes_something_else(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    served = repository({"a": "x: float32 (n, 4) -> y: float32 (n)", "b": "x: float32 (n) -> y: float32 (n)"}, CHAIN)
    repository({"a": "x: float32 (n, 5) -> y: float32 (n)"})
    wait_for(lambda: served.get("p").state is State.READY and "(n, 5)" in shown(served))
    assert ask(served, {"x": np.zeros((2, 5), F32)})["y"].tolist() == [0, 0]


def test_a_step_that_fits_no_more_is_named_until_it_is_mended(
    repository: Callable[..., ModelRepository], declared: Declared
) -> None:
    good = "x: float32 (n) -> y: float32 (n)"
    served = repository({"a": good, "b": good}, CHAIN)
    repository({"b": "x: int64 (n) -> y: float32 (n)"})
    wait_for(lambda: served.get("p").error is not None)
    misfit = "the step 'b': it takes x: int64 (n,), and 'a.y' comes as (n,) float32: their dtypes differ"
    with pytest.raises(ModelNotReady) as caught:
        ask(served, {"x": [1.0]})
    assert misfit in str(caught.value)
    assert served.unready() == [served.get("p")]
    with pytest.raises(ModelNotReady, match="their dtypes differ"):
        served.check_ready(served.get("p"))
    repository({"b": good})
    wait_for(lambda: not served.unready())
    assert ask(served, {"x": [1.0]})["y"].tolist() == [0]


class Changing:
    """A model among others that becomes another between two calls."""

    def __init__(self, name: str, model: mlbuffet.Model) -> None:
        self.name = name
        self.model = model

    @property
    def signatures(self) -> Signatures:
        return self.model.signatures

    def held(self) -> Neighbour:
        return Neighbour(self.name, self.model)


def test_a_step_is_looked_at_again_when_it_is_another(declared: Declared, tmp_path: Path) -> None:
    runtimes = Runtimes()
    runtimes.register(declared, name="declared")

    def loaded(text: str) -> mlbuffet.Model:
        (tmp_path / "m.declared").write_text(text)
        return mlbuffet.load(tmp_path / "m.declared", runtimes=runtimes)

    plugin, good = PipelineRuntime(), "x: float32 (n) -> y: float32 (n)"
    (tmp_path / "pipeline.toml").write_text(dedent(CHAIN))
    step = Changing("b", loaded(good))
    others: Any = {"a": Changing("a", loaded(good)), "b": step}
    pipeline = plugin.load(tmp_path, LoadContext(name="p", models=others))

    def ask() -> Any:
        request = mlbuffet.Request(model="p", version=1, outputs=("y",))
        return plugin.predict(pipeline, "serving_default", {"x": np.zeros(2, F32)}, request)["y"]

    step.model = loaded("x: float32 (rows) -> y: float32 (rows); more: bool ()")
    assert ask().tolist() == [0, 0]
    step.model = loaded("x: int64 (n) -> y: float32 (n)")
    with pytest.raises(ModelNotReady, match="the step 'b': it takes x: int64"):
        ask()
    step.model = loaded("x: float32 (n) -> y: bool (n)")
    with pytest.raises(ModelNotReady, match="with the new version of a step it takes or gives something else"):
        ask()
    step.model = loaded(good)
    assert ask().tolist() == [0, 0]
    plugin.unload(pipeline)


def test_a_call_runs_the_plan_of_the_versions_that_it_holds(repository: Callable[..., ModelRepository]) -> None:
    same = "x: float32 (n) -> y: float32 (n)"
    ran: list[Plan] = []

    class Replaced(Plan):
        """A plan that another call replaces while this one looks at it."""

        def is_for(self, models: Mapping[str, Any]) -> bool:
            pipeline._plan = Replaced(pipeline._file, self.signatures)
            return super().is_for(models)

        def steps_for(self, outputs: Collection[str]) -> list[PlannedStep]:
            ran.append(self)
            return super().steps_for(outputs)

    with repository({"a": same, "b": same}, CHAIN).get("p").use() as handle:
        pipeline = handle.model._handle
        plan = pipeline._plan = Replaced(pipeline._file, pipeline._plan.signatures)
        handle.model.predict({"x": [1.0]})
    assert ran == [plan]


def test_too_many_combinations_of_dtypes_are_refused(repository: Callable[..., ModelRepository]) -> None:
    several = "\n".join(f"x: {dtype} (n) -> y: {dtype} (n)" for dtype in ("float32", "float64", "int64"))
    steps = range(6)
    outputs = "[outputs]\n" + "".join(f'y{step} = "s{step}.y"\n' for step in steps)

    def pipeline(*inputs: str) -> str:
        return outputs + "".join(
            f'[steps.s{step}]\nmodel = "m"\ninputs = {{x = "{one}"}}\n' for step, one in zip(steps, inputs, strict=True)
        )

    served = repository({"m": several}, pipeline(*"abcdef"))
    assert "the step 's5': with it, there are more than 256 combinations of the dtypes" in reason(served)
    assert len(shown(repository({}, pipeline(*"abcaaa"))).splitlines()) == 27


def test_options_and_programs_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(dedent(CHAIN))
    with pytest.raises(InvalidOptions, match="there is no option 'threads'"):
        mlbuffet.load(tmp_path, options={"threads": 1})
    with pytest.raises(LoadFailed, match="it calls the model 'b', and was loaded by itself"):
        mlbuffet.load(tmp_path)


SCALE = """
@signature
def scale(self, x: Float32["batch"], by: float = 2.0) -> {"y": Float32["batch"]}:
    return {"y": x * np.float32(by)}
"""
JOIN = """
@signature
def join(self, a: Float32["batch"], b: Float32["batch"]) -> {"sum": Float32["batch"]}:
    return {"sum": a + b}
"""
DIAMOND = """
parameters = {by = "left.by"}
[steps]
left = {model = "scale", inputs = {x = "x"}}
right = {model = "scale", inputs = {x = "x"}, parameters = {by = 10.0}}
join = {inputs = {a = "left.y", b = "right.y"}}
[outputs]
sum = "join.sum"
left = "left.y"
"""


def write_diamond(folder: Path) -> Path:
    write_model(folder / "scale", SCALE)
    write_model(folder / "join", JOIN)
    (folder / "diamond").mkdir()
    (folder / "diamond" / "pipeline.toml").write_text(DIAMOND)
    return folder


def test_a_parameter_that_a_step_sets_is_none_of_the_pipeline(tmp_path: Path, installed: Any) -> None:
    written = write_diamond(tmp_path) / "diamond" / "pipeline.toml"
    written.write_text(DIAMOND.replace('"left.by"', '"right.by"'))
    with mlbuffet.Repository(tmp_path, runtimes=installed) as served:
        (diamond,) = served.models()["diamond"]
    assert "parameters: 'right.by' is set by the step 'right' itself; leave out one of them" in str(diamond.reason)


class TestPipeline(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> PipelineRuntime:
        return PipelineRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        folder = write_diamond(tmp_path / "models")
        return Artifact(
            folder / "diamond",
            inputs={"x": np.array([1, 2], F32)},
            outputs={"sum": np.array([12, 24], F32), "left": np.array([2, 4], F32)},
            beside={"scale": folder / "scale", "join": folder / "join"},
        )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, serve: Any, installed: Any) -> Iterator[httpx.Client]:
    with serve(write_diamond(tmp_path_factory.mktemp("models")), runtimes=installed) as client:
        yield client


def test_a_pipeline_is_served_over_v2_with_its_parameters(client: httpx.Client) -> None:
    x = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
    answer = client.post("/v2/models/diamond/infer", json={"inputs": [x], "parameters": {"by": 3}})
    assert {one["name"]: one["data"] for one in answer.json()["outputs"]} == {"sum": [13, 26], "left": [3, 6]}


def test_a_pipeline_is_served_over_v1(client: httpx.Client) -> None:
    answer = client.post("/v1/models/diamond:predict", json={"instances": [1, 2]})
    assert json.loads(answer.text) == {"predictions": [{"sum": 12.0, "left": 2.0}, {"sum": 24.0, "left": 4.0}]}
