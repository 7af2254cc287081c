"""``mlbuffet serve``: progress while models load, then what is served and where."""

import logging
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mlbuffet.cli.reports import show_versions
from mlbuffet.errors import NoModelLoaded, reason_of
from mlbuffet.repository import ModelRepository, ModelVersion, State, find_versions
from mlbuffet.runtimes import Runtimes
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.process import Server, address_of, is_loopback, listen

logger = logging.getLogger(__name__)


def serve_paths(
    paths: list[Path], settings: ServerSettings, *, host: str, port: int, runtime: str | None, as_json: bool
) -> None:
    """Serve the models at ``paths`` until a signal ends it. Raises `NoModelLoaded` where not one could be loaded."""
    repository = _repository(paths, runtime)
    versions = list(repository)
    with _listen(host, port) as listener:
        progress = _Progress(len(versions))

        def loaded() -> None:
            progress.stop()
            if any(version.state is State.READY for version in versions):
                show_versions(versions, address_of(listener), as_json=as_json)
            else:
                server.stop()

        guarded = replace(settings, allow_changes=is_loopback(listener))
        app = create_app(repository, guarded, on_change=progress.note, on_loaded=loaded)
        server = Server(app, guarded)
        with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
            server.run(sockets=[listener])
    failures = [version.error for version in versions if version.error]
    if len(failures) == len(versions):
        raise failures[0] if len(failures) == 1 else NoModelLoaded(failures)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0].lower()  # Python appends the address
        raise typer.BadParameter(f"cannot listen on {host}:{port}: {reason}") from error


def _repository(paths: list[Path], runtime: str | None) -> ModelRepository:
    runtimes = Runtimes()
    runtimes.discover()
    repository = ModelRepository(runtimes, runtime)
    for path in paths:
        for stored in find_versions(path, runtimes, runtime):
            repository.add(stored)
    for name, error in runtimes.broken.items():
        logger.warning("the plugin %r is broken and left out: %s", name, reason_of(error))
    return repository


class _Progress:
    """A bar on stderr with the model that is being loaded; lines instead where stderr is not a terminal."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("loading", total=total)
        self._bar.start()

    def note(self, version: ModelVersion) -> None:
        name = f"{version.name} (version {version.version})"
        if version.state is State.LOADING:
            self._bar.update(self._task, description=f"loading {name}")
            if not self._console.is_terminal:
                self._console.print(f"loading {name} ...")
        else:
            self._bar.advance(self._task)

    def stop(self) -> None:
        self._bar.stop()
