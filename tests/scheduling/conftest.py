"""A model that computes when it is told to, a model of any function, and what schedulers share."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gated import Gated, runtimes_with
from mlbuffet import Model, Runtimes, Signature, Signatures, Tensors, hookimpl
from mlbuffet.loading import load
from mlbuffet.scheduling import Scheduling, scheduler
from scheduled import Clock, Leases


class Function:
    """A model that is a function of its inputs."""

    def __init__(self, function: Callable[[Tensors], Tensors], signatures: Signatures) -> None:
        self.function = function
        self.signatures = signatures

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return True

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        return self.signatures

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        return self.function(inputs)


@pytest.fixture
def plugin() -> Gated:
    return Gated()


@pytest.fixture
def model(tmp_path: Path, plugin: Gated) -> Model:
    (tmp_path / "m.gated").touch()
    return load(tmp_path / "m.gated", runtimes=runtimes_with(plugin))


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[..., Model]:
    """A function that makes a model of a function and a signature, or several by name."""

    def make(function: Callable[[Tensors], Tensors], signature: Signature | Signatures) -> Model:
        several = signature if isinstance(signature, Signatures) else Signatures({"serving_default": signature})
        runtimes = Runtimes()
        runtimes.register(Function(function, several), name="function")
        return load(tmp_path, runtimes=runtimes)

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Calls take no time on it, however busy the machine is."""
    shown = Clock()
    monkeypatch.setattr(scheduler, "perf_counter", lambda: shown.now)
    return shown


@pytest.fixture
def scheduling() -> Iterator[Scheduling]:
    shared = Scheduling()
    yield shared
    shared.close()


@pytest.fixture
def leases() -> Leases:
    return Leases()
