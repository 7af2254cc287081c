"""A model calls others of its repository, whatever happens to them meanwhile."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

import mlbuffet
from mlbuffet import (
    InvalidInput,
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
from mlbuffet.cli.model_loading import loaded
from mlbuffet.inference import ModelSelector
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import ModelRepository, Residency, Sources, State
from mlbuffet.repository.load_queue import LOADERS
from mlbuffet.running_calls import RunningCalls
from mlbuffet.scheduling import Scheduling
from pipelines import Pipeline, pipeline_runtimes
from small_runtimes import HalfPlusTwo, small_runtimes, write_models
from waiting import wait_for

Serve = Callable[..., ModelRepository]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A function that makes a repository of files with that text; all are loaded, unless it is on demand."""
    repositories: list[ModelRepository] = []

    def served(models: Mapping[str, str], runtimes: Runtimes | None = None, **arguments: Any) -> ModelRepository:
        runtimes = runtimes or pipeline_runtimes()
        repository = ModelRepository(runtimes, **arguments)
        repositories.append(repository)
        repository.update(Sources([write_models(tmp_path, models)], runtimes).find())
        loading = Thread(target=repository.load_all)
        loading.start()
        loading.join(20)
        assert not loading.is_alive(), "the loads wait for each other"
        return repository

    yield served
    for repository in repositories:
        repository.close()


def predict(repository: ModelRepository, name: str, *values: float) -> list[float]:
    with repository.get(name).use() as handle:
        answer: list[float] = handle.model.predict({"x": list(values)})["y"].tolist()
        return answer


def error_of(repository: ModelRepository, name: str) -> str:
    version = repository.get(name)
    assert version.state is State.FAILED
    assert isinstance(version.error, LoadFailed)
    return version.error.public


@pytest.mark.parametrize(("pipeline", "half"), [("a", "b"), ("b", "a")])
def test_a_model_calls_others_whichever_is_loaded_first(serve: Serve, pipeline: str, half: str) -> None:
    repository = serve({f"{half}.half": "half", f"{pipeline}.pipe": f"{half} {half}"})
    assert predict(repository, pipeline, 2) == [3.5]


def test_pipelines_of_one_runtime_wait_for_each_other_without_a_deadlock(serve: Serve) -> None:
    depth = 3 * LOADERS
    models = {f"p{number:02}.pipe": f"p{number + 1:02}" for number in range(depth)}
    repository = serve({**models, f"p{depth:02}.half": "half"})
    assert predict(repository, "p00", 2) == [3]
    assert all(version.state is State.READY for version in repository)


def test_many_pipelines_may_wait_for_one_model(serve: Serve) -> None:
    repository = serve({"z.half": "half", **{f"a{number}.pipe": "z" for number in range(3 * LOADERS)}})
    assert all(version.state is State.READY for version in repository)


def test_loads_that_wait_leave_the_number_of_loads_at_once_as_it_was(serve: Serve, tmp_path: Path) -> None:
    class Counting(HalfPlusTwo):
        concurrent_loads = True
        under_way = most = 0

        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> float:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            time.sleep(0.02)
            self.under_way -= 1
            return 2.0

    plugin, runtimes = Counting(), Runtimes()
    runtimes.register(plugin, name="counting")
    runtimes.register(Pipeline(), name="pipeline")
    chain = {f"p{number:02}.pipe": f"p{number + 1:02}" for number in range(8)}
    repository = serve({**chain, "p08.half": "half"}, runtimes)
    others = {f"m{number:02}.half": "half" for number in range(24)}
    repository.update(Sources([write_models(tmp_path, others)], runtimes).find())
    wait_for(lambda: all(version.state is State.READY for version in repository))
    assert plugin.most <= LOADERS


def test_a_model_that_is_missing_is_named_to_whoever_must_add_it(serve: Serve) -> None:
    repository = serve({"a.pipe": "b"})
    assert error_of(repository, "a") == (
        "the model cannot be loaded: it calls the model 'b', and there is none of that name beside it"
    )


@pytest.mark.parametrize(
    ("models", "circle"),
    [
        ({"a": "a"}, ["a -> a"]),
        ({"a": "b", "b": "a"}, ["a -> b -> a", "b -> a -> b"]),
        ({"a": "b", "b": "c", "c": "a"}, ["a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"]),
    ],
)
def test_models_that_call_each_other_in_a_circle_are_refused(
    serve: Serve, models: dict[str, str], circle: list[str]
) -> None:
    repository = serve({f"{name}.pipe": text for name, text in models.items()})
    reasons = [error_of(repository, name) for name in models]
    assert any(f"the models call each other in a circle: {one}" in reason for reason in reasons for one in circle)


def test_two_models_may_call_the_same_third(serve: Serve) -> None:
    repository = serve({"a.pipe": "b c", "b.pipe": "d", "c.pipe": "d", "d.half": "half"})
    assert predict(repository, "a", 2) == [3.5]


def test_a_model_fails_with_the_one_it_calls_and_is_ready_once_that_is_mended(serve: Serve, tmp_path: Path) -> None:
    repository = serve({"a.pipe": "b", "b.half": "corrupt"})
    assert "it calls the model 'b', which is not ready: the model cannot be loaded" in error_of(repository, "a")
    assert str(tmp_path) not in error_of(repository, "a")
    repository.update(Sources([write_models(tmp_path, {"b.half": "half"})], pipeline_runtimes()).find())
    wait_for(lambda: repository.get("a").state is State.READY)
    assert predict(repository, "a", 2) == [3]


def test_a_model_that_is_reloaded_into_a_circle_stays_as_it_was(serve: Serve, tmp_path: Path) -> None:
    repository = serve({"a.pipe": "b", "b/1/b.half": "half"})
    (tmp_path / "b/1/b.half").unlink()
    repository.update(Sources([write_models(tmp_path, {"b/1/b.pipe": "a"})], pipeline_runtimes()).find())
    wait_for(lambda: repository.get("b").error is not None)
    assert "b -> a -> b" in str(repository.get("b").error)
    assert predict(repository, "a", 2) == [3]


def test_a_call_holds_the_other_model_and_the_next_one_gets_its_new_content(serve: Serve, tmp_path: Path) -> None:
    class Slow(HalfPlusTwo):
        called, go_on = Event(), Event()

        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".slow"

        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> list[float]:  # type: ignore[override]
            return [float(path.read_text())]

        @hookimpl
        def predict(self, model: list[float], signature: str, inputs: Tensors) -> Tensors:  # type: ignore[override]
            self.called.set()
            assert self.go_on.wait(20)
            return {"y": inputs["x"] + np.float32(model[0])}

        @hookimpl
        def unload(self, model: list[float]) -> None:
            model.clear()

    runtimes = pipeline_runtimes()
    runtimes.register(Slow(), name="slow")
    repository = serve({"a.pipe": "b", "b/1/b.slow": "1"}, runtimes)
    answers: list[list[float]] = []
    caller = Thread(target=lambda: answers.append(predict(repository, "a", 1)))
    caller.start()
    assert Slow.called.wait(20)
    before = repository.get("b")
    repository.update(Sources([write_models(tmp_path, {"b/1/b.slow": "1000"})], runtimes).find())
    wait_for(lambda: repository.get("b") is not before)
    assert before.state is State.UNLOADING
    Slow.go_on.set()
    caller.join()
    assert answers == [[2]]
    assert predict(repository, "a", 1) == [1001]
    wait_for(lambda: before.state is State.UNAVAILABLE)


class Versioned(HalfPlusTwo):
    """Its file says how many columns it takes; it gives that number for each row."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".columns"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        return float(path.read_text())

    @hookimpl
    def signature(self, model: float) -> Signatures:
        x, y = TensorSpec("x", np.float32, (None, int(model))), TensorSpec("y", np.float32, (None,))
        return Signatures({"serving_default": Signature([x], [y])})

    @hookimpl
    def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
        return {"y": np.full(len(inputs["x"]), model, np.float32)}


class Twice(Pipeline):
    """Calls the other twice, with what happens in ``between``, and holds it to the columns that it had at the load."""

    between: Callable[[], None] = staticmethod(lambda: None)

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> Any:
        other = context.models[path.read_text()]
        columns = other.signatures["serving_default"].inputs["x"].shape[1]  # type: ignore[index]
        if columns == 13:
            raise LoadFailed("13 columns are too many")
        return other, columns

    @hookimpl
    def signature(self, model: Any) -> Signatures:
        signatures: Signatures = model[0].signatures
        return signatures

    @hookimpl
    def predict(self, model: Any, signature: str, inputs: Tensors) -> Tensors:
        other, columns = model
        with other.held() as held:
            first = held.predict({"x": np.zeros((1, columns), np.float32)})["y"]
            self.between()
            assert held.signatures is held.signatures
            second = held.predict({"x": np.zeros((1, columns), np.float32)})["y"]
        return {"y": np.concatenate([first, second])[: len(inputs["x"])]}


@pytest.fixture
def versioned() -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(Versioned(), name="versioned")
    runtimes.register(Twice(), name="twice")
    return runtimes


def replaced(repository: ModelRepository, runtimes: Runtimes, folder: Path, columns: str) -> None:
    """The model ``b`` takes so many columns by a new version of its content."""
    before = repository.get("b")
    repository.update(Sources([write_models(folder, {"b/1/b.columns": columns})], runtimes).find())
    wait_for(lambda: repository.get("b") is not before)


def columns_of(repository: ModelRepository) -> Any:
    return repository.get("a").model.signatures["serving_default"].inputs["x"].shape


def test_a_version_that_is_held_answers_several_calls(
    serve: Serve, tmp_path: Path, versioned: Runtimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = serve({"a.pipe": "b", "b/1/b.columns": "2"}, versioned)
    monkeypatch.setattr(Twice, "between", staticmethod(lambda: replaced(repository, versioned, tmp_path, "3")))
    with repository.get("a").use() as handle:
        assert handle.model.predict({"x": np.zeros((2, 2), np.float32)})["y"].tolist() == [2, 2]
    assert repository.get("b").model.signatures["serving_default"].inputs["x"].shape == (None, 3)


def test_a_model_is_loaded_again_when_one_that_it_calls_takes_something_else(
    serve: Serve, tmp_path: Path, versioned: Runtimes
) -> None:
    repository = serve({"a.pipe": "b", "b/1/b.columns": "2"}, versioned)
    replaced(repository, versioned, tmp_path, "3")
    wait_for(lambda: columns_of(repository) == (None, 3))
    same = repository.get("a")
    (tmp_path / "b/1/other").touch()  # new content, and the same signature
    replaced(repository, versioned, tmp_path, "3")
    assert repository.get("a") is same


def test_a_model_that_cannot_be_loaded_again_is_not_ready_until_the_other_changes(
    serve: Serve, tmp_path: Path, versioned: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    repository = serve({"a.pipe": "b", "b/1/b.columns": "2"}, versioned)
    replaced(repository, versioned, tmp_path, "13")
    wait_for(lambda: repository.unready() == [repository.get("a")])
    with pytest.raises(ModelNotReady, match="13 columns are too many"):
        repository.check_ready(repository.get("a"))
    assert "version 1 of the model 'a' answers no more: it cannot be loaded again" in caplog.text
    shown = LocalService(repository).status(ModelSelector("a"))
    assert shown.state is State.FAILED
    assert "13 columns are too many" in shown.reason
    replaced(repository, versioned, tmp_path, "4")
    wait_for(lambda: not repository.unready() and columns_of(repository) == (None, 4))


def test_a_model_that_was_removed_or_unloaded_is_named(serve: Serve, tmp_path: Path) -> None:
    repository = serve({"a.pipe": "b", "b.half": "half"})
    repository.unload("b")
    with pytest.raises(ModelNotReady, match="model 'a' is not ready: it calls the model 'b': it was unloaded"):
        predict(repository, "a", 2)
    repository.load("b")
    assert predict(repository, "a", 2) == [3]
    (tmp_path / "b.half").unlink()
    repository.update(Sources([tmp_path], pipeline_runtimes()).find())
    with pytest.raises(ModelNotReady, match="it calls the model 'b': there is no such model any more"):
        predict(repository, "a", 2)


def test_a_model_that_a_client_unloaded_is_not_loaded_for_another(serve: Serve) -> None:
    repository = serve({"a.pipe": "b", "b.half": "half"})
    repository.unload("a")
    repository.unload("b")
    with pytest.raises(LoadFailed, match="it calls the model 'b', which is not ready: it was unloaded"):
        repository.load("a")


@pytest.mark.parametrize("residency", [Residency(lazy=True), Residency(max_loaded=1)])
def test_what_is_loaded_on_demand_is_loaded_for_the_call_of_another(serve: Serve, residency: Residency) -> None:
    repository = serve({"a.pipe": "b c", "b.half": "half", "c.pipe": "b", "d.half": "half"}, residency=residency)

    def ask(name: str) -> list[float]:
        version = repository.get(name)
        if repository.is_dormant(version):
            loading = repository.demand(version)
            assert loading is not None
            loading.result(20)
        return predict(repository, name, 2)

    assert ask("a") == [3.5]
    assert ask("d") == [3]
    assert repository.is_dormant(repository.get("b")) == bool(residency.max_loaded)  # it was evicted for the next one
    assert ask("a") == [3.5]


def test_the_note_for_the_log_of_a_crash_has_the_model_that_is_called(serve: Serve) -> None:
    class Looking(HalfPlusTwo):
        @hookimpl
        def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
            notes.append(running.memory.tobytes())
            return {"y": inputs["x"]}

    notes: list[bytes] = []
    running = RunningCalls()
    runtimes = Runtimes()
    runtimes.register(Looking(), name="looking")
    runtimes.register(Pipeline(), name="pipeline")
    repository = serve({"a.pipe": "b", "b.half": "half"}, runtimes, scheduling=Scheduling(running=running))
    predict(repository, "a", 2)
    (note,) = notes
    assert b'["predict", "b", 1, "serving_default"]' in note


def test_an_input_that_the_other_refuses_names_it(serve: Serve) -> None:
    class Wrong(Pipeline):
        @hookimpl
        def predict(self, model: Any, signature: str, inputs: Tensors) -> Tensors:
            return dict(model[0].predict({"y": inputs["x"]}))

    runtimes = small_runtimes()
    runtimes.register(Wrong(), name="wrong")
    repository = serve({"a.pipe": "b", "b.half": "half"}, runtimes)
    with pytest.raises(InvalidInput, match="the model 'b': input 'x' is missing"):
        predict(repository, "a", 2)


def test_a_pipeline_may_have_the_signatures_of_the_other(serve: Serve) -> None:
    class Same(Pipeline):
        @hookimpl
        def signature(self, model: Any) -> Signatures:
            signatures: Signatures = model[0].signatures
            return signatures

    runtimes = small_runtimes()
    runtimes.register(Same(), name="same")
    repository = serve({"a.pipe": "b", "b.half": "half"}, runtimes)
    assert list(repository.get("a").model.signatures) == ["serving_default", "both"]


def test_other_models_are_asked_for_in_load_alone(serve: Serve) -> None:
    class Late(Pipeline):
        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> Any:
            return context

        @hookimpl
        def predict(self, model: Any, signature: str, inputs: Tensors) -> Tensors:
            return dict(model.models["b"].predict(inputs))

    runtimes = small_runtimes()
    runtimes.register(Late(), name="late")
    repository = serve({"a.pipe": "", "b.half": "half"}, runtimes)
    with pytest.raises(PredictFailed, match="the model 'b' has to be asked for in load"):
        predict(repository, "a", 2)


def test_an_artifact_that_a_program_loads_has_no_models_beside_it(tmp_path: Path) -> None:
    write_models(tmp_path, {"a.pipe": "b", "b.half": "half"})
    with pytest.raises(LoadFailed, match="it calls the model 'b', and was loaded by itself"):
        mlbuffet.load(tmp_path / "a.pipe", runtimes=pipeline_runtimes())


@pytest.mark.parametrize("path", [".", "..", "../1", "../../a", "../../link/1/..", "../../link"])
def test_the_models_beside_one_are_found_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    write_models(tmp_path, {"models/a/1/a.pipe": "b", "models/b/1/b.half": "half"})
    (tmp_path / "models" / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path / "models" / "a" / "1")
    with loaded(path, pipeline_runtimes(), None, {}) as model:
        assert model.predict({"x": [2.0]})["y"].tolist() == [3]


def test_the_answers_of_a_pipeline_are_not_cached(serve: Serve) -> None:
    repository = serve({"a/a.pipe": "b", "a/model.toml": "[cache]", "b.half": "half"})
    assert "[cache]: its answers follow from other models too: b" in error_of(repository, "a")
