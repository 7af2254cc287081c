"""What the tests share: two runtimes small enough to be read at a glance, and a real server on a real socket."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.repository import ModelRepository, find_versions
from mlbuffet.server import create_app
from mlbuffet.server.process import Server, address_of, listen

pytest_plugins = ["pytester"]

Serve = Callable[[Path], AbstractContextManager[httpx.Client]]


class HalfPlusTwo:
    """TensorFlow Serving's example model: y = x / 2 + 2, from a file that says ``half``."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A .half file."""
        return path.suffix == ".half" and path.is_file()

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        if path.read_text() != "half":
            raise ValueError(f"cannot read {path}")
        return 2.0

    @hookimpl
    def signature(self, model: float) -> Signatures:
        x, y, z = (TensorSpec(name, np.float32, (None,)) for name in "xyz")
        return Signatures({"serving_default": Signature([x], [y]), "both": Signature([x], [y, z])})

    @hookimpl
    def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
        y = inputs["x"] / 2 + model
        return {"y": y} if signature == "serving_default" else {"y": y, "z": inputs["x"] * 2}


class Echo:
    """Gives back its input ``x``; a signature for each dtype that its file names, and no default."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".echo"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[str]:
        return path.read_text().split()

    @hookimpl
    def signature(self, model: list[str]) -> Signatures:
        specs = {name: [TensorSpec("x", name, None)] for name in model}
        return Signatures({name: Signature(spec, spec) for name, spec in specs.items()}, default=None)

    @hookimpl
    def predict(self, model: list[str], signature: str, inputs: Tensors) -> Tensors:
        return {"x": inputs["x"].copy()}


@pytest.fixture
def runtimes() -> Runtimes:
    """The two runtimes above, and none that is installed."""
    found = Runtimes()
    found.register(HalfPlusTwo, name="half")
    found.register(Echo, name="echo")
    return found


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """An artifact of the runtime ``half``."""
    path = tmp_path / "half.half"
    path.write_text("half")
    return path


@pytest.fixture
def serve(runtimes: Runtimes) -> Serve:
    """A function that serves a path on a free port of loopback, and gives a client once the server is ready."""

    @contextmanager
    def served(path: Path) -> Iterator[httpx.Client]:
        repository = ModelRepository(runtimes)
        for stored in find_versions(path, runtimes):
            repository.add(stored)
        listener = listen("127.0.0.1", 0)
        server = Server(create_app(repository))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=address_of(listener), timeout=10) as client:
                while client.get("/v2/health/ready").status_code != 200:
                    pass
                yield client
        finally:
            server.stop()
            thread.join()

    return served
