"""A server whose models come and go on disk, and clients that ask it all the while."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
from starlette.applications import Starlette

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.caching import PredictionCache
from mlbuffet.repository import Catalog, ModelRepository, Residency, Sources, Watcher
from mlbuffet.server import ServerSettings, create_app

RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]
BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [10]}]}


class Adds:
    """Adds to x the number in its file; it counts its loads, and may be made slow."""

    def __init__(self) -> None:
        self.loads: Counter[str] = Counter()
        self.unloads = 0
        self.at_load: Callable[[], object] = int
        self.at_predict: Callable[[], object] = int

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".add"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[int]:
        self.loads[path.parent.parent.name if path.parent.name.isdigit() else path.stem] += 1
        self.at_load()
        return [int(path.read_text())]

    @hookimpl
    def signature(self, model: list[int]) -> Signatures:
        return Signatures(
            {
                "serving_default": Signature(
                    [TensorSpec("x", np.float32, (None,))], [TensorSpec("y", np.float32, (None,))]
                )
            }
        )

    @hookimpl
    def predict(self, model: list[int], signature: str, inputs: Tensors) -> Tensors:
        self.at_predict()
        return {"y": inputs["x"] + model[0]}  # IndexError once it is unloaded

    @hookimpl
    def unload(self, model: list[int]) -> None:
        self.unloads += 1
        model.clear()


@dataclass
class Reloading:
    """The server, its folder of models and its repository."""

    root: Path
    runtime: Adds
    client: httpx.Client
    repository: ModelRepository
    failed: list[str] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)

    def publish(self, name: str, text: str) -> None:
        """Rename a file into place, with the folders that it lies in."""
        write_whole(self.root / name, text)

    def remove(self, name: str) -> None:
        (self.root / name).rename(self.root / ".removed")
        shutil.rmtree(self.root / ".removed")

    def states(self, name: str) -> dict[str, str]:
        index = self.client.post("/v2/repository/index").json()
        return {entry["version"]: entry["state"] for entry in index if entry["name"] == name}

    def wait_for(self, reached: Callable[[], bool], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.01)

    @contextmanager
    def under_load(self, right: Callable[[int], int], clients: int = 4) -> Iterator[None]:
        """Ask for ``m`` all the while; ``right`` is the sum that a version must give for 10."""
        stop = Event()

        def ask() -> None:
            while not stop.is_set():
                answer = client.post("/v2/models/m/infer", json=BODY)
                if answer.status_code != 200:
                    self.failed.append(answer.text)
                    continue
                version = int(answer.json()["model_version"])
                self.answers[version] += 1
                if answer.json()["outputs"][0]["data"] != [right(version)]:
                    self.failed.append(answer.text)

        with self.many_clients() as client:
            threads = [threading.Thread(target=ask) for _ in range(clients)]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                stop.set()
                for thread in threads:
                    thread.join()

    def many_clients(self) -> httpx.Client:
        """A client for many threads at once."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.Client(base_url=self.client.base_url, timeout=30, limits=limits)


def write_whole(path: Path, text: str) -> None:
    """Write a file aside, and rename the highest folder that is new into place."""
    top = path
    while not top.parent.exists():
        top = top.parent
    aside = top.with_name(f".{top.name}")
    target = aside / path.relative_to(top) if path != top else aside
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    time.sleep(0.02)  # the times of inodes are no finer than some milliseconds
    aside.rename(top)


@contextmanager
def reloading(
    root: Path,
    run_app: RunApp,
    residency: Residency | None = None,
    cache: PredictionCache | None = None,
    **watching: Any,
) -> Iterator[Reloading]:
    """A server that watches ``root``, with clients that may change models."""
    runtime = Adds()
    runtimes = Runtimes()
    runtimes.register(runtime, name="adds")
    sources = Sources([root], runtimes)
    models = sources.find(may_be_empty=True)
    repository = ModelRepository(runtimes, residency=residency, cache=cache)
    repository.update(models)
    loaded = Event()
    app = create_app(repository, ServerSettings(allow_changes=True), on_loaded=loaded.set)
    with run_app(app) as client:
        assert loaded.wait(120)
        watcher = Watcher(Catalog(sources, models, repository.update), **watching)
        watcher.start()
        try:
            yield Reloading(root, runtime, client, repository)
        finally:
            watcher.stop()
