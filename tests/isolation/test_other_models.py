"""Models in processes of their own that call others, and pipelines."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import mlbuffet
from python_models import write_model
from small_runtimes import small_runtimes, write_models

CALLER = """
def __init__(self, context):
    self.half = context.models["half"]
    self.names = list(self.half.signatures)

@signature
def predict(self, x: Float32[None]) -> {"y": Float32[None], "z": Float32[None]}:
    with self.half.held() as held:
        assert held.signatures is held.signatures
        first = held.predict({"x": x})["y"]
        both = held.predict({"x": [float(one) for one in x]}, signature="both", outputs=["z"])
    return {"y": self.half.predict({"x": first})["y"], "z": both["z"]}

@signature
def wrong(self, x: Float32[None]) -> {"y": Float32[None]}:
    return self.half.predict({"x": np.ones((1, 1), np.float32)})
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., mlbuffet.Repository]]:
    from mlbuffet_pipeline.plugin import PipelineRuntime
    from mlbuffet_python.plugin import PythonRuntime

    runtimes = small_runtimes()
    runtimes.register(PythonRuntime(), name="python")
    runtimes.register(PipelineRuntime(), name="pipeline")
    write_models(tmp_path, {"half.half": "half"})
    with ExitStack() as stack:

        def served(**settings: Any) -> mlbuffet.Repository:
            settings = {"isolate": True, **settings}
            return stack.enter_context(mlbuffet.Repository(tmp_path, runtimes=runtimes, **settings))

        yield served


def test_a_model_calls_another_through_the_server(serve: Callable[..., mlbuffet.Repository], tmp_path: Path) -> None:
    write_model(tmp_path / "caller", CALLER)
    repository = serve()
    found = repository.predict("caller", {"x": [2, 4]})
    assert found["y"].tolist() == [3.5, 4]
    assert found["z"].tolist() == [4, 8]
    with pytest.raises(mlbuffet.InvalidInput, match=r"the model 'half': input 'x' has shape \(1, 1\)"):
        repository.predict("caller", {"x": [1]}, signature="wrong")


def test_a_model_that_is_not_there_is_named(serve: Callable[..., mlbuffet.Repository], tmp_path: Path) -> None:
    write_model(tmp_path / "caller", CALLER.replace('"half"', '"lost"'))
    repository = serve()
    assert "it calls the model 'lost', and there is none" in repository.models()["caller"][0].reason


def test_a_process_that_is_started_anew_gets_the_same_models(
    serve: Callable[..., mlbuffet.Repository], tmp_path: Path
) -> None:
    end = '\n@signature\ndef end(self, x: Float32[None]) -> {"y": Float32[None]}:\n    import os; os._exit(1)\n'
    write_model(tmp_path / "caller", CALLER + end)
    repository = serve()
    with pytest.raises(mlbuffet.ProcessCrashed):
        repository.predict("caller", {"x": [1]}, signature="end")
    assert repository.predict("caller", {"x": [2]})["y"].tolist() == [3.5]


def test_a_pipeline_runs_in_a_process_of_its_own_too(serve: Callable[..., mlbuffet.Repository], tmp_path: Path) -> None:
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice/pipeline.toml").write_text(PIPELINE)
    repository = serve()
    assert repository.predict("twice", {"x": [2]})["y"].tolist() == [3.5]


PIPELINE = """
[steps.first]
model = "half"
inputs = {x = "x"}

[steps.second]
model = "half"
inputs = {x = "first.y"}

[outputs]
y = "second.y"
"""
