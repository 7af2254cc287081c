"""What the tests share: two small runtimes, a real server on a real socket, and a place to install packages in."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import Event, Thread
from typing import Literal

import httpx
import pytest
from _pytest.nodeid import coerce_node_id
from starlette.applications import Starlette

from mlbuffet import Runtimes
from mlbuffet.isolation.process_settings import Isolation
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.processes.server_process import Server, address_of, listen
from remote_service import remote_service
from small_runtimes import repository_of, small_runtimes

pytest_plugins = ["pytester"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """schemathesis gives all cases of a test one id, of which pytest-xdist runs one."""
    for item in items:
        if not item.nodeid.endswith(item.name):  # pytest has no other way to give it one
            item._id = coerce_node_id(f"{item.nodeid.rpartition('::')[0]}::{item.name}")


@pytest.fixture(scope="session", autouse=True)
def isolated() -> Iterator[None]:
    """Models in processes of their own, in this process and in servers that tests start, with MLBUFFET_ISOLATE."""
    if "MLBUFFET_ISOLATE" not in os.environ:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        chosen = Isolation.settings
        patch.setattr(Isolation, "settings", lambda self, own: chosen(replace(self, of_all=True), own))
        yield


Way = Literal["fast path", "application", "remote service"]
"""How a request is answered: see docs/architecture.md."""


@pytest.fixture
def runtimes() -> Runtimes:
    """The small runtimes, and none that is installed."""
    return small_runtimes()


@pytest.fixture(scope="session")
def installed() -> Runtimes:
    """The runtimes that are installed."""
    found = Runtimes()
    found.discover()
    return found


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run, of all processes that take part in it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """An artifact of the runtime ``half``."""
    path = tmp_path / "half.half"
    path.write_text("half")
    return path


@pytest.fixture(scope="session")
def run_app() -> Callable[[Starlette], AbstractContextManager[httpx.Client]]:
    """A function that runs an application on a free port of loopback, and gives a client for it."""

    @contextmanager
    def running(app: Starlette) -> Iterator[httpx.Client]:
        listener = listen("127.0.0.1", 0)
        server = Server(app)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=address_of(listener), timeout=10) as client:
                yield client
        finally:
            server.stop()
            thread.join()

    return running


@pytest.fixture(scope="session")
def serve(
    run_app: Callable[[Starlette], AbstractContextManager[httpx.Client]],
) -> Callable[..., AbstractContextManager[httpx.Client]]:
    """A function that serves the models at a path, and gives a client once all were tried; with the small runtimes.

    ``MLBUFFET_TEST_SERVE=module:function`` names another that does so, such as one that has a cluster serve them.
    """
    if (address := os.environ.get("MLBUFFET_TEST_SERVE")) is not None:
        other: Callable[..., AbstractContextManager[httpx.Client]] = EntryPoint("serve", address, "tests").load()
        return other

    @contextmanager
    def served(
        path: Path,
        settings: ServerSettings | None = None,
        runtimes: Runtimes | None = None,
        way: Way = "fast path",
    ) -> Iterator[httpx.Client]:
        repository = repository_of(path, runtimes or small_runtimes())
        settings = replace(settings or ServerSettings(), fast_path=way == "fast path")
        if way == "remote service":
            with remote_service(repository) as service, run_app(create_app(service, settings)) as client:
                yield client
            return
        loaded = Event()
        with run_app(create_app(repository, settings, on_loaded=loaded.set)) as client:
            assert loaded.wait(120)
            yield client

    return served


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with which ``pip install .`` installs into a folder of its own, where Python looks too.

    Nothing is fetched: dependencies and the build backend are those of this environment.
    """
    site = str(tmp_path_factory.mktemp("site"))
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": site,
        "PIP_TARGET": site,
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads its "no" options the other way round from the environment
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "200",
    }
