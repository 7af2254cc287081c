"""What the tests of protocols share: a client of a server of the module's models, and a model that is slow to load."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from faults import LIMIT, MODELS
from mlbuffet import Runtimes, hookimpl
from mlbuffet.repository import ModelRepository, StoredModel, StoredVersion
from mlbuffet.server import ServerSettings
from small_runtimes import HalfPlusTwo, write_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models that faults are sent to."""
    return write_models(tmp_path_factory.mktemp("models"), MODELS)


@pytest.fixture(scope="module", params=["fast path", "application", "remote service"])
def way(request: pytest.FixtureRequest) -> str:
    """How requests are answered, by the words of ``serve``."""
    return str(request.param)


@pytest.fixture(scope="module")
def client(
    serve: Callable[..., AbstractContextManager[httpx.Client]], models: Path, way: str
) -> Iterator[httpx.Client]:
    with serve(models, ServerSettings(max_body=LIMIT, allow_changes=True), way=way) as client:
        yield client


@pytest.fixture
def may_load() -> Event:
    """What the loading of `slow` waits for."""
    return Event()


@pytest.fixture
def slow(half: Path, may_load: Event) -> ModelRepository:
    """A repository of ``half``, whose loading begins and does not end yet."""

    class Slow(HalfPlusTwo):
        @hookimpl
        def load(self, path: Path, options: Any) -> float:
            assert may_load.wait(10)
            return 2.0

    runtimes = Runtimes()
    runtimes.register(Slow, name="slow")
    repository = ModelRepository(runtimes)
    repository.update([StoredModel("half", (StoredVersion("half", 1, half),))])
    return repository
