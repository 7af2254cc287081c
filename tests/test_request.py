"""A runtime, or who wraps one, knows the call that it answers and the model that it loads."""

import asyncio
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlbuffet
from knowing_runtime import Asked
from mlbuffet import (
    CONTRACT,
    DeadlineExceeded,
    InvalidInput,
    LoadFailed,
    Model,
    PredictFailed,
    Request,
    Runtimes,
    Signature,
    Signatures,
    Tensors,
    TensorSpec,
    hookimpl,
)
from mlbuffet.running_calls import REQUEST_IDS
from small_runtimes import HalfPlusTwo, write_models


class Tracing:
    """Wraps the predictions of every runtime."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    @hookimpl(wrapper=True)
    def predict(self, signature: str, request: Request) -> Generator[None, Tensors, Tensors]:
        self.seen.append(request)
        return (yield)


def runtimes_of(*plugins: object) -> Runtimes:
    runtimes = Runtimes()
    for number, plugin in enumerate(plugins):
        runtimes.register(plugin, name=f"plugin{number}")
    return runtimes


def load(path: Path, *plugins: object) -> Model:
    """With the last of ``plugins`` for the runtime."""
    return mlbuffet.load(path, runtimes=runtimes_of(*plugins), runtime=f"plugin{len(plugins) - 1}")


def test_a_runtime_knows_the_call_that_it_answers(half: Path) -> None:
    plugin = Asked()
    with load(half, plugin) as model:
        model.predict({"x": [2]})
        deadline = time.monotonic() + 20
        model.predict({"x": [2]}, outputs=["z"], parameters={"offset": 3}, deadline=deadline)
    plain, whole = plugin.requests
    assert plain == Request(model="half", version=None, outputs=("y", "z"), parameters={"offset": 2.0})
    assert plain.seconds_left is None
    assert whole == Request(model="half", version=None, outputs=("z",), deadline=deadline, parameters={"offset": 3.0})
    assert whole.seconds_left is not None
    assert 0 < whole.seconds_left <= 20
    with pytest.raises(AttributeError):
        whole.model = "other"  # type: ignore[misc]


def test_a_coroutine_gives_the_same(half: Path) -> None:
    plugin, deadline = Asked(), time.monotonic() + 20
    with load(half, plugin) as model:
        call = model.predict_async({"x": [2]}, outputs=["y"], parameters={"offset": 4}, deadline=deadline)
        assert asyncio.run(call)["y"].tolist() == [5]
    (request,) = plugin.requests
    assert (request.outputs, request.parameters, request.deadline) == (("y",), {"offset": 4.0}, deadline)


@pytest.mark.parametrize("deadline", [0, -1.0])
def test_a_call_does_not_begin_after_its_deadline(half: Path, deadline: float) -> None:
    plugin = Asked()
    with load(half, plugin) as model:
        with pytest.raises(DeadlineExceeded, match="over before it began"):
            model.predict({"x": [2]}, deadline=deadline)
        with pytest.raises(InvalidInput):  # which more time would not help
            model.predict({}, deadline=deadline)
    assert not plugin.requests


def test_a_parameter_reaches_the_runtime_and_a_wrong_one_does_not(half: Path) -> None:
    plugin = Asked()
    with load(half, plugin) as model:
        assert model.predict({"x": [2]})["y"].tolist() == [3]
        assert model.predict({"x": [2]}, parameters={"offset": 4})["y"].tolist() == [5]
        for parameters in ({"offset": -1}, {"top": 1}):
            with pytest.raises(InvalidInput, match="parameter"):
                model.predict({"x": [2]}, parameters=parameters)
    assert len(plugin.requests) == 2


def test_a_runtime_without_parameters_refuses_them(runtimes: Runtimes, half: Path) -> None:
    with (
        mlbuffet.load(half, runtimes=runtimes) as model,
        pytest.raises(InvalidInput, match="there is no parameter 'offset'; the model takes no parameters"),
    ):
        model.predict({"x": [2]}, parameters={"offset": 3})


def test_a_runtime_that_knows_what_is_wanted_may_compute_that_alone(half: Path) -> None:
    with load(half, Asked()) as model:
        assert {name: array.tolist() for name, array in model.predict({"x": [2]}, outputs=["z"]).items()} == {"z": [4]}


def test_the_shapes_of_what_is_wanted_are_checked(half: Path) -> None:
    class Named(Asked):
        @hookimpl
        def signature(self, model: object) -> Signatures:
            x, y, z = (TensorSpec(name, np.float32, ("rows",)) for name in "xyz")
            return Signatures({"serving_default": Signature([x], [y, z])})

        @hookimpl
        def predict(self, model: object, signature: str, inputs: Tensors, request: Request) -> Tensors:
            return {"z": np.zeros(3, np.float32)}

    with load(half, Named()) as model:
        assert model.predict({"x": [1, 2, 3]}, outputs=["z"])["z"].tolist() == [0, 0, 0]
        with pytest.raises(PredictFailed, match="its output 'z' has 3 for the dimension 'rows', and input 'x' has 1"):
            model.predict({"x": [1]}, outputs=["z"])


@pytest.mark.parametrize("answer", [{}, {"z": np.zeros(1, np.float32)}, {"y": np.zeros(1, np.float32), "w": 1}])
def test_what_is_wanted_must_come_and_nothing_undeclared(half: Path, answer: Tensors) -> None:
    class Wrong(Asked):
        @hookimpl
        def predict(self, model: object, signature: str, inputs: Tensors, request: Request) -> Tensors:
            return answer

    with (
        load(half, Wrong()) as model,
        pytest.raises(PredictFailed, match=r"its signature says \['y', 'z'\]; the request wants \['y'\]"),
    ):
        model.predict({"x": [2]}, outputs=["y"])


def test_a_runtime_that_does_not_know_what_is_wanted_gives_all(half: Path) -> None:
    class Partial(HalfPlusTwo):
        @hookimpl
        def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
            return {"y": inputs["x"]}

    with load(half, Partial()) as model, pytest.raises(PredictFailed):
        model.predict({"x": [2]}, signature="both", outputs=["y"])


@pytest.mark.parametrize("plugin", [HalfPlusTwo, Asked])
def test_a_plugin_that_only_wraps_knows_which_model_it_was(half: Path, plugin: type) -> None:
    tracing = Tracing()
    with load(half, tracing, plugin()) as model:
        model.predict({"x": [2]})
    (seen,) = tracing.seen
    assert (seen.model, seen.outputs[0]) == ("half", "y")


def test_a_wrapper_without_a_request_leaves_others_theirs(half: Path) -> None:
    class Counting:
        calls = 0

        @hookimpl(wrapper=True)
        def predict(self) -> Generator[None, Tensors, Tensors]:
            Counting.calls += 1
            return (yield)

    for plugin in (HalfPlusTwo(), Asked()):
        with load(half, Counting(), plugin) as model:
            assert model.predict({"x": [2]})["y"].tolist() == [3]
    assert Counting.calls == 2


@pytest.mark.parametrize("plugin", [HalfPlusTwo(), Asked()])
def test_what_nobody_wraps_is_called_without_pluggy(plugin: HalfPlusTwo | Asked) -> None:
    runtime = runtimes_of(plugin)["plugin0"]
    assert runtime.hook("predict") == plugin.predict
    assert runtime.takes("predict", "request") == isinstance(plugin, Asked)


def test_the_ids_of_the_requests_are_told(half: Path) -> None:
    plugin = Asked()
    token = REQUEST_IDS.set(b"one two")
    try:
        with load(half, plugin) as model:
            model.predict({"x": [2]})
    finally:
        REQUEST_IDS.reset(token)
    assert plugin.requests[0].ids == ("one", "two")


@pytest.mark.parametrize(
    ("files", "path", "known_as"),
    [
        ({"iris.asked": ""}, "iris.asked", ("iris", None)),
        ({"iris/1/x.asked": "", "iris/7/x.asked": ""}, "iris", ("iris", 7)),
        ({"iris/x.asked": ""}, "iris", ("iris", 1)),
    ],
)
def test_a_model_that_a_program_loads_is_called_as_a_server_would_call_it(
    tmp_path: Path, files: dict[str, str], path: str, known_as: tuple[str, int | None]
) -> None:
    plugin = Asked()
    with mlbuffet.load(write_models(tmp_path, files) / path, runtimes=runtimes_of(plugin)) as model:
        model.predict({"x": [2]})
        assert (model.name, model.version) == known_as
    assert [(one.name, one.version) for one in plugin.contexts] == [known_as]
    assert [(one.model, one.version) for one in plugin.requests] == [known_as]


@pytest.mark.parametrize("hook", ["concurrency", "memory"])
@pytest.mark.parametrize("answer", [-1, 1.0, True, "2"])
def test_an_answer_that_is_no_number_fails_the_load_and_names_the_hook(half: Path, hook: str, answer: object) -> None:
    class Wrong(HalfPlusTwo):
        unloaded = 0

        @hookimpl
        def unload(self) -> None:
            Wrong.unloaded += 1

    setattr(Wrong, hook, hookimpl(_answering(answer)))
    with pytest.raises(LoadFailed, match=f"its {hook} hook returned {answer!r}, not an int from [01], or None"):
        load(half, Wrong())
    assert Wrong.unloaded == 1


@pytest.mark.parametrize("answer", [np.int64(2), np.uint8(2), 2])
def test_any_integer_is_an_answer(half: Path, answer: object) -> None:
    class Plain(HalfPlusTwo):
        memory = hookimpl(_answering(answer))
        concurrency = hookimpl(_answering(answer))

    with load(half, Plain()) as model:
        assert (model.memory, model.concurrency) == (2, 2)
        assert type(model.memory) is type(model.concurrency) is int


def test_no_call_at_once_is_no_concurrency_and_no_memory_is(half: Path) -> None:
    class Zero(HalfPlusTwo):
        memory = hookimpl(_answering(0))

    with load(half, Zero()) as model:
        assert (model.memory, model.concurrency) == (0, None)
    Zero.concurrency = hookimpl(_answering(0))  # type: ignore[attr-defined]
    with pytest.raises(LoadFailed, match="its concurrency hook returned 0, not an int from 1"):
        load(half, Zero())


def test_the_contract_has_a_version_that_can_be_compared() -> None:
    assert (1, 0) <= CONTRACT < (2, 0)


def _answering(answer: object) -> Any:
    def hook(self: object, model: object) -> object:
        return answer

    return hook
