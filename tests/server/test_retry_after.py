"""Retry-After is said where waiting can help, by every protocol, and nowhere else."""

import errno
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from mlbuffet import LoadFailed, Runtimes, hookimpl
from mlbuffet.errors import may_pass
from mlbuffet.repository import ModelRepository
from mlbuffet.server import ServerSettings, create_app
from small_runtimes import HalfPlusTwo

RunApp = Callable[..., AbstractContextManager[httpx.Client]]
Serve = Callable[..., AbstractContextManager[httpx.Client]]
TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}


def retry_after(client: httpx.Client) -> list[str | None]:
    """What the addresses of a model say that does not answer."""
    answers = [
        client.post("/v2/models/half/infer", json={"inputs": [TENSOR]}),
        client.post("/v2/models/half/versions/1/infer", json={"inputs": [TENSOR]}),
        client.get("/v2/models/half"),
        client.get("/v2/models/half/ready"),
        client.get("/v2/models/half/config"),
        client.post("/v1/models/half:predict", json={"instances": [1]}),
        client.get("/v1/models/half/metadata"),
        client.post("/api/v1/models/half/prediction", json={"values": [1]}),
    ]
    assert [answer.status_code for answer in answers] == [503] * len(answers)
    return [answer.headers.get("retry-after") for answer in answers]


class Failing(HalfPlusTwo):
    """Fails with what a test says, and never recovers."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        raise self.error


def failing(error: Exception) -> Runtimes:
    runtimes = Runtimes()
    runtimes.register(Failing(error), name="half")
    return runtimes


def test_a_model_may_be_asked_again_while_it_is_loaded(slow: ModelRepository, may_load: Event, run_app: RunApp) -> None:
    loaded = Event()
    with run_app(create_app(slow, on_loaded=loaded.set)) as client:
        assert set(retry_after(client)) == {"1"}
        assert client.get("/v2/health/ready").headers["retry-after"] == "1"
        may_load.set()
        assert loaded.wait(120)
        assert "retry-after" not in client.get("/v2/models/half/ready").headers


def test_a_model_that_was_unloaded_will_not_answer_for_waiting(serve: Serve, half: Path) -> None:
    with serve(half, ServerSettings(allow_changes=True)) as client:
        assert client.post("/v2/repository/models/half/unload").status_code == 200
        assert set(retry_after(client)) == {None}
        assert client.post("/v2/repository/models/half/load").status_code == 200
        assert client.get("/v2/models/half/ready").status_code == 200


@pytest.mark.parametrize("error", [ValueError("corrupt"), LoadFailed("it is cut"), OSError("file signature not found")])
def test_a_model_that_its_runtime_refuses_will_not_answer_for_waiting(
    serve: Serve, half: Path, error: Exception
) -> None:
    with serve(half, runtimes=failing(error)) as client:
        assert set(retry_after(client)) == {None}


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full")])
def test_what_may_pass_is_worth_another_question_once_loading_was_tried_again(
    serve: Serve, half: Path, error: Exception
) -> None:
    with serve(half, runtimes=failing(error)) as client:
        assert {int(seconds or 0) for seconds in retry_after(client)} <= {1, 2}


def test_what_may_pass_is_told_by_the_cause() -> None:
    refused = LoadFailed("it is refused")
    assert not may_pass(refused)
    refused.__cause__ = OSError(errno.ENOSPC, "full")
    assert may_pass(refused)
    refused.__cause__ = FileNotFoundError(errno.ENOENT, "a part is missing")
    assert not may_pass(refused)
