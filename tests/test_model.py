"""A loaded model checks what goes in and what comes out, and is released once."""

import asyncio
import gc
import signal
import time
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import numpy as np
import pytest

import mlbuffet
from mlbuffet import (
    ArtifactNotFound,
    InvalidInput,
    InvalidOptions,
    LoadFailed,
    ModelClosed,
    NoRuntime,
    PredictFailed,
    Runtimes,
    Signature,
    Signatures,
    TensorSpec,
    hookimpl,
)

ONE = Signature([TensorSpec("x", np.float32, (None,))], [TensorSpec("y", np.float32, (None,))])
FAILURES = [ValueError("at /secret"), SystemExit(3), MemoryError(), RecursionError("deep")]


class Scripted:
    """A runtime that does what a test tells it."""

    def __init__(self, **script: Callable[..., Any]) -> None:
        self.script: dict[str, Callable[..., Any]] = {
            "load": lambda options: "handle",
            "signature": lambda: Signatures({"serving_default": ONE}),
            "predict": lambda inputs: {"y": inputs["x"] * 2},
            "unload": lambda: None,
            **script,
        }
        self.unloaded: list[Any] = []

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return True

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> Any:
        return self.script["load"](options)

    @hookimpl
    def signature(self, model: Any) -> Any:
        return self.script["signature"]()

    @hookimpl
    def predict(self, model: Any, signature: str, inputs: Mapping[str, Any]) -> Any:
        return self.script["predict"](inputs)

    @hookimpl
    def unload(self, model: Any) -> None:
        self.unloaded.append(model)
        self.script["unload"]()


def load(path: Path, plugin: Scripted, **arguments: Any) -> mlbuffet.Model:
    runtimes = Runtimes()
    runtimes.register(plugin, name="scripted")
    return mlbuffet.load(path, runtimes=runtimes, **arguments)


def raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_: Any) -> Any:
        raise error

    return raises


def test_a_model_predicts_with_its_default_signature(runtimes: Runtimes, half: Path) -> None:
    model = mlbuffet.load(str(half), runtimes=runtimes)
    outputs = model.predict({"x": np.array([1, 2, 5], np.float32)})
    assert list(outputs) == ["y"]
    np.testing.assert_array_equal(outputs["y"], np.array([2.5, 3, 4.5], np.float32), strict=True)
    assert model.runtime.name == "half"
    assert model.signatures.default == "serving_default"
    assert repr(model) == f"<Model '{half}' on 'half': serving_default, both>"


def test_a_signature_and_outputs_can_be_named(runtimes: Runtimes, half: Path) -> None:
    model = mlbuffet.load(half, runtimes=runtimes)
    outputs = model.predict({"x": [1, 2]}, signature="both", outputs=["z", "y"])
    assert {name: array.tolist() for name, array in outputs.items()} == {"z": [2, 4], "y": [2.5, 3]}
    assert list(outputs) == ["z", "y"]
    assert list(model.predict({"x": [1]}, signature="both", outputs=["z"])) == ["z"]


@pytest.mark.parametrize(
    "call",
    [
        {"inputs": {}},
        {"inputs": {"x": [[1]]}},
        {"inputs": {"x": [1]}, "signature": "nope"},
        {"inputs": {"x": [1]}, "outputs": ["nope"]},
    ],
)
def test_a_call_that_does_not_fit_never_reaches_the_runtime(call: dict[str, Any], half: Path) -> None:
    with load(half, Scripted(predict=raising(AssertionError("reached")))) as model, pytest.raises(InvalidInput):
        model.predict(**call)


def test_a_path_with_nothing_there_is_told_apart_from_an_unknown_format(runtimes: Runtimes, tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound, match="no file or folder"):
        mlbuffet.load(tmp_path / "missing.half", runtimes=runtimes)
    with pytest.raises(NoRuntime):
        mlbuffet.load(tmp_path, runtimes=runtimes)


def test_without_runtimes_the_installed_ones_are_asked(tmp_path: Path) -> None:
    with pytest.raises(NoRuntime, match=r"asked: .*onnx"):
        mlbuffet.load(tmp_path)


def test_options_reach_the_runtime(half: Path) -> None:
    seen: list[Any] = []
    load(half, Scripted(load=seen.append), options={"threads": 1})
    load(half, Scripted(load=seen.append))
    assert seen == [{"threads": 1}, {}]


@pytest.mark.parametrize("hook", ["load", "signature"])
@pytest.mark.parametrize("error", FAILURES)
def test_whatever_a_runtime_raises_while_loading_is_load_failed(hook: str, error: BaseException, half: Path) -> None:
    with pytest.raises(LoadFailed, match=type(error).__name__) as caught:
        load(half, Scripted(**{hook: raising(error)}))
    assert caught.value.__cause__ is error
    assert (caught.value.path, caught.value.runtime) == (half, "scripted")
    assert "secret" not in caught.value.public


def test_a_reason_that_the_runtime_gives_is_kept_and_shown_to_clients(half: Path) -> None:
    with pytest.raises(LoadFailed, match="'scripted': it is empty") as caught:
        load(half, Scripted(load=raising(LoadFailed("it is empty"))))
    assert caught.value.public == "the model cannot be loaded: it is empty"


def test_invalid_options_pass_through(half: Path) -> None:
    with pytest.raises(InvalidOptions, match="the valid options are: threads"):
        load(half, Scripted(load=raising(InvalidOptions("there is no option 'a'", ["threads"]))), options={"a": 1})


def test_what_was_loaded_is_released_where_its_signature_cannot_be_had(half: Path) -> None:
    plugin = Scripted(signature=lambda: {"serving_default": None})
    with pytest.raises(LoadFailed, match="its signature hook returned dict, not Signatures"):
        load(half, plugin)
    assert plugin.unloaded == ["handle"]


@pytest.mark.parametrize("error", [*FAILURES, CancelledError()])
def test_whatever_a_runtime_raises_while_predicting_is_predict_failed(error: BaseException, half: Path) -> None:
    with load(half, Scripted(predict=raising(error))) as model, pytest.raises(PredictFailed) as caught:
        model.predict({"x": [1]})
    assert caught.value.__cause__ is error
    assert type(error).__name__ in str(caught.value)
    assert "secret" not in caught.value.public


@pytest.mark.parametrize(("given", "runtime"), [("", "scripted"), ("of a step", "of a step")])
def test_a_failure_that_names_no_runtime_gets_the_name_of_its_own(half: Path, given: str, runtime: str) -> None:
    error = PredictFailed(given, "serving_default", "a secret", reason="in line 3")
    with load(half, Scripted(predict=raising(error))) as model, pytest.raises(PredictFailed) as caught:
        model.predict({"x": [1]})
    assert caught.value.runtime == runtime
    assert caught.value.public == error.public


def test_a_runtime_may_refuse_values(half: Path) -> None:
    with (
        load(half, Scripted(predict=raising(InvalidInput("input 'x' is not sorted")))) as model,
        pytest.raises(InvalidInput, match="not sorted"),
    ):
        model.predict({"x": [1]})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "it returned NoneType, not arrays by name"),
        ([1], "it returned list, not arrays by name"),
        ({}, r"it returned \[\], and its signature says \['y'\]"),
        ({"z": np.zeros(1, np.float32)}, r"it returned \['z'\]"),
        ({"y": np.zeros(1, np.float32), "z": 1}, r"it returned \['y', 'z'\]"),
        ({"y": [1.0]}, "its output 'y' is list, and its signature says an array of float32"),
        ({"y": np.zeros(1)}, "its output 'y' is float64"),
        ({"y": np.float32(1)}, "its output 'y' is float32, and its signature says an array"),
    ],
)
def test_an_answer_that_breaks_the_signature_is_predict_failed(answer: object, message: str, half: Path) -> None:
    with load(half, Scripted(predict=lambda _: answer)) as model, pytest.raises(PredictFailed, match=message):
        model.predict({"x": [1]})


SHAPED = Signature([TensorSpec("x", np.float32, ("n",))], [TensorSpec("y", np.float32, ("n", 3))])


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ((1, 1, 7), r"its output 'y' has shape \(1, 1, 7\), and its signature says \(n, 3\)"),
        ((1, 7), r"its output 'y' has shape \(1, 7\), and its signature says \(n, 3\)"),
        ((2, 3), "its output 'y' has 2 for the dimension 'n', and input 'x' has 1"),
    ],
)
def test_an_output_of_another_shape_than_declared_is_predict_failed(shape: Any, problem: str, half: Path) -> None:
    several = Signatures({"serving_default": SHAPED})
    plugin = Scripted(signature=lambda: several, predict=lambda _: {"y": np.zeros(shape, np.float32)})
    with load(half, plugin) as model, pytest.raises(PredictFailed, match=problem):
        model.predict({"x": [1]})


def test_a_runtime_may_say_that_its_outputs_have_other_shapes_than_its_files_declare(half: Path) -> None:
    class Imprecise(Scripted):
        output_shapes_may_differ = True

    several = Signatures({"serving_default": SHAPED})
    plugin = Imprecise(signature=lambda: several, predict=lambda _: {"y": np.zeros((2, 7), np.float32)})
    with load(half, plugin) as model:
        assert model.predict({"x": [1]})["y"].shape == (2, 7)


def test_outputs_for_inputs_of_undeclared_shapes_may_have_any(half: Path) -> None:
    class Loose(Scripted):
        takes_any_shape = True

    with load(half, Loose()) as model:
        assert model.predict({"x": [[1, 2]]}, any_shape=True)["y"].shape == (1, 2)
        with pytest.raises(InvalidInput, match=r"shape \(1, 2\)"):
            model.predict({"x": [[1, 2]]})


def test_an_optional_input_that_is_left_out_does_not_reach_the_runtime(half: Path) -> None:
    optional = TensorSpec("mask", np.float32, ("n",), optional=True)
    several = Signatures({"serving_default": Signature([*SHAPED.inputs.values(), optional], ONE.outputs.values())})
    seen: list[list[str]] = []

    def predict(inputs: Mapping[str, Any]) -> Any:
        seen.append(list(inputs))
        return {"y": inputs["x"]}

    with load(half, Scripted(signature=lambda: several, predict=predict)) as model:
        model.predict({"x": [1]})
        model.predict({"mask": [1], "x": [1]})
    assert seen == [["x"], ["x", "mask"]]


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([b"a"]), np.array(["a"], np.dtypes.StringDType())])
def test_text_that_is_no_object_of_bytes_is_refused_with_what_it_should_be(array: Any, half: Path) -> None:
    words = Signatures({"serving_default": Signature(ONE.inputs.values(), [TensorSpec("y", object, (None,))])})
    plugin = Scripted(signature=lambda: words, predict=lambda _: {"y": array})
    with load(half, plugin) as model, pytest.raises(PredictFailed, match="text is bytes, in an array of object"):
        model.predict({"x": [1]})


def test_a_closed_model_is_released_once_and_does_not_answer(half: Path) -> None:
    plugin = Scripted()
    model = load(half, plugin)
    model.close()
    model.close()
    assert plugin.unloaded == ["handle"]
    with pytest.raises(ModelClosed, match="load it again"):
        model.predict({"x": [1]})


def test_a_model_that_is_dropped_is_released(half: Path) -> None:
    plugin = Scripted()
    load(half, plugin)
    gc.collect()
    assert plugin.unloaded == ["handle"]


def test_a_failure_to_unload_is_logged_and_goes_no_further(half: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(half, Scripted(unload=raising(SystemExit(1)))).close()
    assert "failed to unload" in caplog.text


def test_ctrl_c_is_for_the_program_and_a_server_has_its_own_answer_to_it(
    half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.getsignal", lambda _: signal.default_int_handler)  # a shell may start tests without it
    with load(half, Scripted(predict=raising(KeyboardInterrupt()))) as model:
        with pytest.raises(KeyboardInterrupt):
            model.predict({"x": [1]})
        monkeypatch.setattr("signal.getsignal", lambda _: print)
        with pytest.raises(PredictFailed, match="KeyboardInterrupt"):
            model.predict({"x": [1]})


class Exclusive(Scripted):
    """Its loads fail where two run at once, as PyTorch's deserializer does."""

    def __init__(self, *, concurrent_loads: bool) -> None:
        super().__init__()
        self.concurrent_loads = concurrent_loads
        self.under_way = 0
        self.collisions = 0

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        self.under_way += 1
        self.collisions += self.under_way > 1
        time.sleep(0.05)
        self.under_way -= 1
        return object()


@pytest.mark.parametrize("concurrent", [False, True])
def test_loads_of_one_runtime_run_one_after_the_other_unless_it_allows_others(half: Path, *, concurrent: bool) -> None:
    plugin, runtimes = Exclusive(concurrent_loads=concurrent), Runtimes()
    runtimes.register(plugin, name="exclusive")
    with ThreadPoolExecutor(4) as threads:
        for model in threads.map(lambda _: mlbuffet.load(half, runtimes=runtimes), range(4)):
            model.close()
    assert (plugin.collisions > 0) == concurrent


def test_a_load_may_load_another_model_of_its_runtime(half: Path) -> None:
    class Nested(Scripted):
        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> object:
            return object() if options else mlbuffet.load(path, runtimes=runtimes, options={"inner": True})

    runtimes = Runtimes()
    runtimes.register(Nested(), name="nested")
    mlbuffet.load(half, runtimes=runtimes).close()


def test_coroutines_call_a_model_in_threads_with_their_context(runtimes: Runtimes, half: Path) -> None:
    request = ContextVar("request", default=0)
    seen = []

    def predict(inputs: Mapping[str, Any]) -> dict[str, Any]:
        seen.append((request.get(), current_thread() is main_thread()))
        return {"y": inputs["x"] * 2}

    async def ask(model: mlbuffet.Model) -> list[Any]:
        request.set(7)
        answers = await asyncio.gather(*(model.predict_async({"x": [number]}, outputs=["y"]) for number in range(4)))
        with pytest.raises(InvalidInput, match="input 'x' is missing"):
            await model.predict_async({})
        return [float(answer["y"][0]) for answer in answers]

    with load(half, Scripted(predict=predict)) as model:
        assert asyncio.run(ask(model)) == [0, 2, 4, 6]
    assert seen == [(7, False)] * 4
