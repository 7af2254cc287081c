"""A program without HTTP calls the models of a folder as a server has them."""

import asyncio
import copy
import gc
import pickle
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as running_threads
from typing import Any

import numpy as np
import pytest

import mlbuffet
from gated import Gated, runtimes_with
from knowing_runtime import Asked
from mlbuffet import (
    ArtifactNotFound,
    DeadlineExceeded,
    InvalidInput,
    LoadFailed,
    ModelNotFound,
    ModelNotReady,
    NoModelLoaded,
    Overloaded,
    ParameterSpec,
    PredictFailed,
    RepositoryClosed,
    Runtimes,
    Signature,
    Signatures,
    TensorSpec,
    UnknownSignature,
    hookimpl,
)
from mlbuffet.inference.loop_thread import LoopThread
from pipelines import pipeline_runtimes
from programs import output_of
from small_runtimes import HalfPlusTwo, small_runtimes, write_models
from waiting import wait_for

MODELS = {
    "half/1/x.half": "half",
    "half/2/x.half": "half",
    "half/model.toml": "labels = { old = 1 }",
    "bad.half": "no",
}
X = {"x": [2.0]}


def opened(folder: Path, models: Mapping[str, str] = MODELS, **settings: Any) -> mlbuffet.Repository:
    runtimes = settings.pop("runtimes", None) or small_runtimes()
    return mlbuffet.Repository(write_models(folder, models), runtimes=runtimes, **settings)


@pytest.fixture
def gated() -> Gated:
    return Gated()


def test_its_models_are_called_by_name_version_label_and_signature(tmp_path: Path) -> None:
    with opened(tmp_path) as repository:
        assert repository.predict("half", X)["y"].tolist() == [3.0]
        assert repository.predict("half", {"x": np.array([4], np.float32)})["y"].tolist() == [4.0]
        for which in ({"version": 1}, {"label": "old"}, {"version": 2}):
            assert repository.predict("half", X, **which)["y"].tolist() == [3.0]
        assert list(repository.predict("half", X, signature="both", outputs=["z"])) == ["z"]


def test_a_label_that_is_lost_is_named_with_those_there_are(tmp_path: Path) -> None:
    with opened(tmp_path) as repository, pytest.raises(ModelNotFound) as failure:
        repository.predict("half", X, label="odl")
    assert str(failure.value) == "no version of the model 'half' has the label 'odl'; there are: 'old'"
    assert (failure.value.label, failure.value.labels) == ("odl", ("old",))


def test_parameters_and_the_deadline_reach_the_runtime(tmp_path: Path) -> None:
    asked, runtimes = Asked(), Runtimes()
    runtimes.register(asked, name="asked")
    with opened(tmp_path, {"m/4/x.asked": ""}, runtimes=runtimes) as repository:
        assert repository.predict("m", X, parameters={"offset": 4}, timeout=20)["y"].tolist() == [5]
        call = repository.predict_async("m", X, parameters={"offset": 5}, outputs=["y"])
        assert asyncio.run(call)["y"].tolist() == [6]
        with pytest.raises(InvalidInput, match="there is no parameter 'top'"):
            repository.predict("m", X, parameters={"top": 1})
    first, second = asked.requests
    assert (first.model, first.version, first.parameters["offset"]) == ("m", 4, 4)
    assert first.seconds_left is not None
    assert second.seconds_left is None


class Optional(Asked):
    @hookimpl
    def signature(self, model: object) -> Signatures:
        x, y, z, w = (TensorSpec(name, np.float32, (None,), optional=name == "w") for name in "xyzw")
        return Signatures(
            {"serving_default": Signature([x, w], [y, z], parameters={"offset": ParameterSpec(float, default=2.0)})}
        )


@pytest.mark.parametrize("inputs", [X, {**X, "w": [1]}])
@pytest.mark.parametrize(("parameters", "y"), [(None, 3), ({"offset": 4}, 5)])
def test_parameters_reach_a_batched_runtime_whose_inputs_are_optional(
    tmp_path: Path, inputs: Mapping[str, Any], parameters: Mapping[str, Any] | None, y: float
) -> None:
    runtimes = Runtimes()
    runtimes.register(Optional(), name="optional")
    with opened(tmp_path, {"m.asked": ""}, runtimes=runtimes, batching=True) as repository:
        assert repository.predict("m", inputs, parameters=parameters)["y"].tolist() == [y]
        with pytest.raises(InvalidInput, match="there is no parameter 'top'"):
            repository.predict("m", inputs, parameters={"top": 1})


def test_a_model_calls_another_of_the_repository(tmp_path: Path) -> None:
    with opened(tmp_path, {"a.pipe": "b b", "b.half": "half"}, runtimes=pipeline_runtimes()) as repository:
        assert repository.predict("a", X)["y"].tolist() == [3.5]
    with repository:
        assert repository.predict("a", X)["y"].tolist() == [3.5]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"model": "lost"}, ModelNotFound),
        ({"version": 9}, ModelNotFound),
        ({"label": "lost"}, ModelNotFound),
        ({"version": 1, "label": "old"}, InvalidInput),
        ({"model": "bad"}, ModelNotReady),
        ({"signature": "lost"}, UnknownSignature),
        ({"outputs": ["lost"]}, InvalidInput),
        ({"inputs": {}}, InvalidInput),
        ({"inputs": {"x": "text"}}, InvalidInput),
        ({"inputs": {"x": np.ones(1, np.int64)}}, InvalidInput),
        ({"inputs": {"x": np.ones((1, 1), np.float32)}}, InvalidInput),
        ({"inputs": {"x": [666]}}, PredictFailed),
    ],
)
def test_its_errors_are_those_of_a_model_and_of_the_service(
    tmp_path: Path, call: dict[str, Any], error: type[Exception]
) -> None:
    arguments = {"model": "half", "inputs": X, **call}
    with opened(tmp_path) as repository:
        with pytest.raises(error) as sync:
            repository.predict(**arguments)
        with pytest.raises(error) as coroutine:
            asyncio.run(repository.predict_async(**arguments))
        assert str(sync.value) == str(coroutine.value)
        assert repository.predict("half", X)["y"].tolist() == [3.0]


def test_models_shows_each_version_and_why_it_is_not_ready(tmp_path: Path) -> None:
    with opened(tmp_path) as repository:
        models = repository.models()
        assert [one.version for one in models["half"]] == [1, 2]
        assert {one.state.value for one in models["half"]} == {"READY"}
        assert "cannot be loaded" in models["bad"][0].reason
        with pytest.raises(ModelNotReady) as not_ready:
            repository.predict("bad", X)
        assert "ValueError: cannot read" in str(not_ready.value.__cause__)
        assert "half" in repr(repository)
    assert "closed" in repr(repository)


def test_calls_from_several_threads_share_batches(tmp_path: Path, gated: Gated) -> None:
    models = {"m/x.gated": "", "m/model.toml": "[batching]\nmax_size = 16\n[scheduling]\nmax_concurrency = 1"}
    gated.gate.set()
    with opened(tmp_path, models, runtimes=runtimes_with(gated)) as repository, ThreadPoolExecutor(9) as threads:
        gated.gate.clear()
        gated.batches.clear()
        first = threads.submit(repository.predict, "m", {"x": [0.0]})
        wait_for(lambda: gated.batches)
        others = [threads.submit(repository.predict, "m", {"x": [float(number)]}) for number in range(1, 9)]
        service = repository._in_use().places.repository.get("m").check_ready()
        wait_for(lambda: service.waiting == 8)
        gated.gate.set()
        assert [other.result()["y"].tolist() for other in others] == [[2.0 * number] for number in range(1, 9)]
        assert first.result()["y"].tolist() == [0.0]
        assert sorted(map(len, gated.batches)) == [1, 8]


def test_coroutines_call_it_from_any_event_loop(tmp_path: Path) -> None:
    async def many(repository: mlbuffet.Repository) -> list[float]:
        answers = await asyncio.gather(*(repository.predict_async("half", {"x": [float(n)]}) for n in range(50)))
        return [float(answer["y"][0]) for answer in answers]

    with opened(tmp_path) as repository:
        for _ in range(3):  # as pytest-asyncio does, which has a loop for each test
            assert asyncio.run(many(repository)) == [n / 2 + 2 for n in range(50)]


def test_it_is_an_async_context_manager_that_may_be_opened_again(tmp_path: Path) -> None:
    repository = opened(tmp_path)

    async def use() -> list[float]:
        async with repository:
            answer: list[float] = (await repository.predict_async("half", X))["y"].tolist()
            assert repository.predict("half", X)["y"].tolist() == answer  # blocks this loop, as any such call would
            return answer

    assert asyncio.run(use()) == asyncio.run(use()) == [3.0]


def test_it_is_used_while_it_is_open(tmp_path: Path) -> None:
    repository = opened(tmp_path)
    with pytest.raises(RepositoryClosed, match=r"is not open; use it within 'with repository:'"):
        repository.predict("half", X)
    with repository, pytest.raises(RuntimeError, match="open already"):
        repository.open()
    with pytest.raises(ValueError, match="mine"), repository:
        raise ValueError("mine")
    with pytest.raises(RepositoryClosed):
        asyncio.run(repository.predict_async("half", X))
    repository.close()
    assert not [one.name for one in running_threads() if one.name in ("mlbuffet-repository", "mlbuffet-watch")]


def test_a_call_has_as_long_as_it_is_given(tmp_path: Path) -> None:
    with opened(tmp_path, {"m.sleep": ""}) as repository:
        begin = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 seconds"):
            repository.predict("m", {"x": 1}, timeout=0.1)
        with pytest.raises(DeadlineExceeded):
            asyncio.run(repository.predict_async("m", {"x": 1}, timeout=0.1))
        assert time.monotonic() - begin < 0.9


def test_what_cannot_even_wait_is_refused(tmp_path: Path, gated: Gated) -> None:
    settings = {"max_concurrency": 1, "max_queue": 0}
    runtimes = runtimes_with(gated)
    with opened(tmp_path, {"m.gated": ""}, runtimes=runtimes, **settings) as repository, ThreadPoolExecutor(1) as one:
        first = one.submit(repository.predict, "m", {"x": [1.0]})
        wait_for(lambda: gated.batches)
        with pytest.raises(Overloaded):
            repository.predict("m", {"x": [2.0]})
        gated.gate.set()
        assert first.result()["y"].tolist() == [2.0]


def test_a_coroutine_that_is_cancelled_takes_its_call_out_of_the_queue(tmp_path: Path, gated: Gated) -> None:
    async def cancel(repository: mlbuffet.Repository) -> None:
        first = asyncio.create_task(repository.predict_async("m", {"x": [1.0]}))
        await asyncio.to_thread(wait_for, lambda: gated.batches)
        second = asyncio.create_task(repository.predict_async("m", {"x": [2.0]}))
        scheduler = repository._in_use().places.repository.get("m").check_ready()
        await asyncio.to_thread(wait_for, lambda: scheduler.waiting == 1)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await asyncio.to_thread(wait_for, lambda: scheduler.waiting == 0)
        gated.gate.set()
        assert (await first)["y"].tolist() == [2.0]

    with opened(tmp_path, {"m.gated": ""}, runtimes=runtimes_with(gated), max_concurrency=1) as repository:
        asyncio.run(cancel(repository))
    assert gated.seen == {1.0}


def test_close_waits_for_calls_and_refuses_new_ones(tmp_path: Path, gated: Gated) -> None:
    repository = opened(tmp_path, {"m.gated": ""}, runtimes=runtimes_with(gated), max_concurrency=1).open()
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(repository.predict, "m", {"x": [float(number)]}) for number in range(2)]
        wait_for(lambda: gated.batches)
        scheduler = repository._in_use().places.repository.get("m").check_ready()
        wait_for(lambda: scheduler.waiting == 1)
        closing = threads.submit(repository.close)
        wait_for(lambda: repository._opened is None)
        with pytest.raises(RepositoryClosed):
            repository.predict("m", {"x": [9.0]})
        assert not closing.done()
        gated.gate.set()
        assert [call.result()["y"].tolist() for call in calls] == [[0.0], [2.0]]


class Slow(HalfPlusTwo):
    """Takes as long to load as its test wants."""

    def __init__(self) -> None:
        self.may_load = Event()

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        assert self.may_load.wait(20)
        return 2.0


@pytest.mark.parametrize("in_coroutine", [False, True])
def test_a_call_that_waits_for_its_model_to_load_fails_when_it_is_closed(tmp_path: Path, *, in_coroutine: bool) -> None:
    plugin, runtimes = Slow(), Runtimes()
    runtimes.register(plugin, name="slow")
    repository = opened(tmp_path, {"m.half": "half"}, runtimes=runtimes, lazy=True).open()
    with ThreadPoolExecutor(1) as threads:
        if in_coroutine:
            call = threads.submit(lambda: asyncio.run(repository.predict_async("m", X)))
        else:
            call = threads.submit(repository.predict, "m", X)
        wait_for(lambda: repository.models()["m"][0].state.value == "LOADING")
        repository.close()
        with pytest.raises(RepositoryClosed):
            call.result()
        plugin.may_load.set()


def test_a_model_is_loaded_for_its_first_call_with_lazy(tmp_path: Path) -> None:
    with opened(tmp_path, lazy=True) as repository:
        assert repository.models()["half"][1].state.value == "UNAVAILABLE"
        assert repository.predict("half", X)["y"].tolist() == [3.0]
        assert repository.models()["half"][1].state.value == "READY"


def test_kept_responses_and_warm_up_are_those_of_model_toml(tmp_path: Path, gated: Gated) -> None:
    gated.gate.set()
    models = {"m/x.gated": "", "m/model.toml": "[cache]\n[warmup]\ninputs = { x = [7.0] }"}
    with opened(tmp_path, models, runtimes=runtimes_with(gated)) as repository:
        assert gated.batches == [[7.0]]
        for _ in range(3):
            assert repository.predict("m", X)["y"].tolist() == [4.0]
        assert gated.batches == [[7.0], [2.0]]


def test_reload_serves_what_is_on_disk_now(tmp_path: Path) -> None:
    with opened(tmp_path) as repository:
        write_models(tmp_path, {"half/3/x.half": "half", "new.half": "half", "bad.half": "half"})
        repository.reload()
        models = repository.models()
        assert [one.version for one in models["half"]] == [1, 2, 3]
        assert [models[name][0].state.value for name in ("bad", "new")] == ["READY", "READY"]
        (tmp_path / "new.half").unlink()
        write_models(tmp_path, {"half/3/x.half": "no longer"})
        repository.reload()
        assert "new" not in repository.models()
        assert repository.predict("half", X, version=3)["y"].tolist() == [3.0]  # what cannot be loaded replaces nothing


def test_watch_follows_what_changes_on_disk(tmp_path: Path) -> None:
    with opened(tmp_path, watch=True) as repository:
        write_models(tmp_path, {".new": "half"})
        (tmp_path / ".new").rename(tmp_path / "new.half")
        wait_for(lambda: "new" in repository.models() and repository.models()["new"][0].state.value == "READY")
        write_models(tmp_path, {"half/3/x.half": "half"})
        repository.reload()
        assert repository.models()["half"][-1].version == 3
    assert "mlbuffet-watch" not in {one.name for one in running_threads()}


def test_opening_raises_where_nothing_can_be_called(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFound):
        mlbuffet.Repository(tmp_path / "lost", runtimes=small_runtimes()).open()
    with pytest.raises(LoadFailed):
        opened(tmp_path / "one", {"bad.half": "no"}).open()
    with pytest.raises(NoModelLoaded):
        opened(tmp_path / "two", {"bad.half": "no", "worse.half": "no"}).open()
    with opened(tmp_path / "two", watch=True) as repository:
        assert repository.models().keys() == {"bad", "half", "worse"}
    assert "mlbuffet-repository" not in {one.name for one in running_threads()}


def test_several_places_are_one_repository(tmp_path: Path) -> None:
    one, two = (write_models(tmp_path / name, {f"{name}.half": "half"}) for name in ("one", "two"))
    with mlbuffet.Repository(one, str(two / "two.half"), runtimes=small_runtimes()) as repository:
        assert repository.models().keys() == {"one", "two"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"version": "1"}, TypeError, "version is '1'; it is the number of a version, such as 1, or None"),
        ({"version": True}, TypeError, "version is True; it is the number"),
        ({"version": 1.0}, TypeError, "version is 1.0; it is the number"),
        ({"timeout": "1"}, TypeError, "timeout is '1'; it is a number of seconds, or None"),
        ({"timeout": True}, TypeError, "timeout is True; it is a number"),
        ({"timeout": float("nan")}, ValueError, "timeout is NaN; it is a number of seconds"),
        ({"timeout": 0}, DeadlineExceeded, "over before it began"),
        ({"outputs": "y"}, InvalidInput, "outputs is a list of names"),
    ],
)
def test_an_argument_of_another_kind_is_named(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with opened(tmp_path) as repository:
        with pytest.raises(error, match=message):
            repository.predict("half", X, **arguments)
        with pytest.raises(error, match=message):
            asyncio.run(repository.predict_async("half", X, **arguments))
        numbers: dict[str, Any] = {"version": np.int64(1), "timeout": np.float32(20)}
        assert repository.predict("half", X, **numbers)["y"].tolist() == [3.0]


@pytest.mark.parametrize("places", [[["models"]], [b"models"], ["models", None]])
def test_what_is_no_place_is_refused(places: list[Any]) -> None:
    with pytest.raises(TypeError, match=f"a model's place is its path .*, not {type(places[-1]).__name__}"):
        mlbuffet.Repository(*places)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_neither_pickled_nor_copied(tmp_path: Path, copied: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"a repository cannot be pickled or copied, for .* open one there"):
        copied(mlbuffet.Repository(tmp_path))


def test_wrong_settings_are_refused_with_what_is_right(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"no setting 'wach'; the settings are: batching, .*, watch"):
        mlbuffet.Repository(tmp_path, wach=True)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"Repository\(\): max_queue: expected int >= 0"):
        mlbuffet.Repository(tmp_path, max_queue=-1)
    with pytest.raises(ValueError, match="lazy: expected bool, got str"):
        mlbuffet.Repository(tmp_path, lazy="yes")  # type: ignore[arg-type]


def test_a_process_that_was_forked_has_to_open_its_own(tmp_path: Path) -> None:
    program = f"""
import os, sys
import mlbuffet
from small_runtimes import small_runtimes
with mlbuffet.Repository({str(write_models(tmp_path, MODELS))!r}, runtimes=small_runtimes()) as repository:
    repository.predict("half", {{"x": [2.0]}})
    if os.fork() == 0:
        try:
            repository.predict("half", {{"x": [2.0]}})
        except mlbuffet.RepositoryClosed as error:
            print(error, flush=True)
        repository.close()
        with repository:
            print(repository.predict("half", {{"x": [2.0]}})["y"], flush=True)
        os._exit(0)
    os.wait()
"""
    assert program_output(program) == (
        "the repository was opened before this process was forked: open it in each process; use it within "
        "'with repository:' or 'async with repository:', or between its open() and close()\n[3.]\n"
    )


def test_one_that_nobody_closes_is_closed_with_the_process_or_as_garbage(tmp_path: Path) -> None:
    program = f"""
import mlbuffet
from small_runtimes import small_runtimes
repository = mlbuffet.Repository({str(write_models(tmp_path, MODELS))!r}, runtimes=small_runtimes(), watch=True).open()
print(repository.predict("half", {{"x": [2.0]}})["y"])
"""
    assert program_output(program) == "[3.]\n"
    opened(tmp_path, watch=True).open()
    gc.collect()
    assert not {"mlbuffet-repository", "mlbuffet-watch"} & {one.name for one in running_threads()}


def program_output(program: str) -> str:
    """What a program of its own prints, which writes nothing to stderr but that one model cannot be loaded."""
    printed, complaints = output_of(program)
    assert all("'bad' cannot be loaded" in line for line in complaints.splitlines()), complaints
    return printed


def test_the_end_of_an_async_block_waits_for_the_calls_of_other_tasks(tmp_path: Path) -> None:
    async def use() -> list[float]:
        async with opened(tmp_path, {"m.sleep": ""}) as repository:
            calls = [asyncio.create_task(repository.predict_async("m", {"x": 0.2})) for _ in range(2)]
            await asyncio.sleep(0.1)
        return [float(answer["x"]) for answer in await asyncio.gather(*calls)]

    assert asyncio.run(use()) == pytest.approx([0.2, 0.2])


def test_a_loop_that_has_ended_takes_no_more_work() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    loop = LoopThread("mlbuffet-test")
    assert loop.submit(work()).result() == 1
    endless = loop.submit(asyncio.sleep(100))
    loop.close()
    assert endless.cancelled()
    with pytest.raises(RepositoryClosed):
        loop.submit(work())  # and no warning that it was never awaited


def test_it_may_be_closed_while_many_threads_call(tmp_path: Path) -> None:
    repository = opened(tmp_path, {"half.half": "half"})
    outcomes: set[type] = set()

    def call() -> None:
        while True:
            try:
                outcomes.add(type(repository.predict("half", X)))
            except (RepositoryClosed, ModelNotReady) as error:
                outcomes.add(type(error))
                return

    for _ in range(5):
        repository.open()
        threads = [Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        repository.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert dict in outcomes
