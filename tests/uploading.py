"""A server whose models clients change, in a folder that can be looked through."""

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from starlette.applications import Starlette

from dangerous_runtimes import Dangerous
from mlbuffet import Runtimes
from mlbuffet.repository import Catalog, ModelRepository, Publisher, Residency, Sources, Watcher
from mlbuffet.repository.staging import FOLDER_NAME
from mlbuffet.runtime_choice import Wanted
from mlbuffet.server import ServerSettings, create_app
from small_runtimes import small_runtimes

RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]
HALF = ("iris.half", b"half")


@dataclass
class Uploading:
    """The server, its folder of models and its repository."""

    root: Path
    client: httpx.Client
    repository: ModelRepository

    def push(self, name: str, file: tuple[str, bytes] = HALF, **fields: str) -> httpx.Response:
        return self.client.post(f"/api/v1/models/{name}", files={"path": file}, data=fields, timeout=60)

    def versions(self, name: str) -> dict[str, Any]:
        """What the server tells about the model."""
        information = self.client.get(f"/api/v1/models/{name}/information").json()
        return dict(information.get("tag_list_versions", {}))

    def default(self, name: str) -> int | None:
        answer = self.client.get(f"/api/v1/models/{name}/information").json().get("default_version")
        return None if answer is None else int(answer)

    def predicts(self, name: str) -> bool:
        """Whether the model answers rightly."""
        answer = self.client.post(f"/api/v1/models/{name}/prediction", json={"values": [1, 2, 5]})
        return answer.status_code == 200 and answer.json()["values"] == [2.5, 3, 4.5]


def some_runtimes() -> Runtimes:
    """The small runtimes and the dangerous one."""
    runtimes = small_runtimes()
    runtimes.register(Dangerous, name="dangerous")
    return runtimes


def repository_of(
    root: Path, runtimes: Runtimes, residency: Residency | None = None, wanted: Wanted = None
) -> tuple[Catalog, ModelRepository]:
    """The models of a folder, and what is known of it."""
    sources = Sources([root], runtimes, wanted)
    models = sources.find(may_be_empty=True)
    repository = ModelRepository(runtimes, wanted, residency)
    repository.update(models)
    return Catalog(sources, models, repository.update), repository


@contextmanager
def uploading(
    root: Path,
    run_app: RunApp,
    settings: ServerSettings | None = None,
    *,
    residency: Residency | None = None,
    runtimes: Runtimes | None = None,
    wanted: Wanted = None,
    watch: bool = False,
    **publishing: Any,
) -> Iterator[Uploading]:
    """A server of the folder ``root``, which is made."""
    root.mkdir(exist_ok=True)
    catalog, repository = repository_of(root, runtimes or some_runtimes(), residency, wanted)
    publisher = Publisher(root, catalog, repository, **publishing)
    loaded = Event()
    app = create_app(repository, settings or ServerSettings(allow_changes=True), publisher, on_loaded=loaded.set)
    with run_app(app) as client:
        assert loaded.wait(120)
        with watching(catalog) if watch else nullcontext():
            yield Uploading(root, client, repository)


@contextmanager
def watching(catalog: Catalog) -> Iterator[None]:
    """A watcher that looks often."""
    watcher = Watcher(catalog, poll=0.1)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


def leftovers(root: Path) -> list[str]:
    """What lies in the hidden folders of work, besides the one that a server has for itself."""
    hall = root / FOLDER_NAME
    return sorted(path.relative_to(hall).as_posix() for path in hall.glob("*/*")) if hall.is_dir() else []


def visible(root: Path) -> list[str]:
    """All files that are not hidden; hidden folders are not entered, as one may be swept meanwhile."""
    found: list[str] = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        found += [(Path(folder) / file).relative_to(root).as_posix() for file in files if not file.startswith(".")]
    return sorted(found)


def zipped(files: Mapping[Any, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these, by their names or as ``ZipInfo`` has them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
