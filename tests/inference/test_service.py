"""The service of this process, asked as a program asks it."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import pytest

from mlbuffet import InvalidInput, ModelNotFound, ModelNotReady, Runtimes, UnknownSignature, hookimpl
from mlbuffet.errors import DeadlineExceeded
from mlbuffet.inference import Deadline, InferenceRequest, ModelSelector
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import ModelRepository, Residency, find_models
from small_runtimes import HalfPlusTwo, repository_of, small_runtimes, write_models

P = ParamSpec("P")
X = {"x": np.ones(1, np.float32)}


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 20))

    return run


def asked(model: str = "half", **arguments: Any) -> InferenceRequest:
    return InferenceRequest(model=ModelSelector(model), **{"inputs": X, **arguments})


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LocalService]:
    repository = repository_of(write_models(tmp_path, {"half/3/x.half": "half", "bad.half": "no"}), small_runtimes())
    repository.load_all()
    yield LocalService(repository)
    repository.close()


@on_a_loop
async def test_a_request_has_a_result_with_its_version_and_times(service: LocalService) -> None:
    result = await service.infer(asked())
    assert (result.model, result.version, result.outputs["y"].tolist()) == ("half", 3, [2.5])
    assert result.compute_ns > 0
    wanted = await service.infer(asked(signature="both", outputs=["z"]))
    assert list(wanted.outputs) == ["z"]


@on_a_loop
async def test_what_need_not_wait_is_answered_without_waiting_once_it_is_known_to_be_quick(
    service: LocalService,
) -> None:
    for _ in range(40):
        await service.infer(asked())
    result = service.infer_now(asked())
    assert result is not None
    assert result.outputs["y"].tolist() == [2.5]
    assert service.infer_now(asked(inputs={"x": np.ones(100_000, np.float32)})) is None


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (asked(inputs={"x": [1.0]}), InvalidInput),
        (asked(inputs=None), InvalidInput),
        (asked(inputs={}), InvalidInput),
        (asked(inputs={"x": np.ones((1, 1), np.float32)}), InvalidInput),
        (asked(signature=[]), InvalidInput),
        (asked(signature="lost"), UnknownSignature),
        (asked(outputs=["lost"]), InvalidInput),
        (asked("lost"), ModelNotFound),
        (asked("bad"), ModelNotReady),
        (InferenceRequest(model=ModelSelector("half", 9), inputs=X), ModelNotFound),
        (InferenceRequest(model=ModelSelector("half", label="lost"), inputs=X), ModelNotFound),
    ],
)
@on_a_loop
async def test_it_raises_errors_of_mlbuffet_alone(
    service: LocalService, request_: InferenceRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await service.infer(request_)


@on_a_loop
async def test_an_id_of_any_text_harms_nobody(service: LocalService) -> None:
    assert (await service.infer(asked(id="\ud800"))).version == 3


def test_a_call_whose_event_loop_has_ended_leaves_room_for_those_of_the_next(tmp_path: Path) -> None:
    models = {"m/m.sleep": "", "m/model.toml": "[scheduling]\nmax_concurrency = 1"}
    repository = repository_of(write_models(tmp_path, models), small_runtimes())
    repository.load_all()
    service = LocalService(repository)
    slow, quick = (asked("m", inputs={"x": np.array(seconds, np.float32)}) for seconds in (0.3, 0))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(service.infer(slow), 0.05))
    assert asyncio.run(asyncio.wait_for(service.infer(quick), 10)).version == 1
    repository.close()


class Slow(HalfPlusTwo):
    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        time.sleep(1)
        return 2.0


def lazily(folder: Path) -> ModelRepository:
    runtimes = Runtimes()
    runtimes.register(Slow(), name="slow")
    repository = ModelRepository(runtimes, residency=Residency(lazy=True))
    repository.update(find_models(write_models(folder, {"half.half": "half"}), runtimes))
    repository.load_all()
    return repository


@on_a_loop
async def test_a_deadline_holds_while_a_model_is_loaded_on_demand(tmp_path: Path) -> None:
    repository = lazily(tmp_path)
    service, begin = LocalService(repository), time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"within 0\.1 seconds"):
        await service.infer(asked(deadline=Deadline.after(0.1)))
    assert time.monotonic() - begin < 0.8
    assert (await service.infer(asked())).outputs["y"].tolist() == [2.5]
    repository.close()


@pytest.mark.parametrize("seconds", [0, -1])
@on_a_loop
async def test_a_call_whose_deadline_has_passed_is_not_run(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(LocalService, "serve", lambda *arguments, **_: ran.append(arguments))
    with pytest.raises(DeadlineExceeded):
        await service.infer(asked(deadline=Deadline.after(seconds)))
    await asyncio.sleep(0)
    assert ran == []
