"""``mlbuffet serve``: progress while models load, then what is served and where."""

import errno
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mlbuffet.caching import MemoryCache, PredictionCache, RedisCache
from mlbuffet.cli.allocator import keep_memory
from mlbuffet.cli.logs import PROGRESS, LogLines, end_with
from mlbuffet.cli.reports import log_versions, show_versions
from mlbuffet.errors import MLBuffetError, NoModelLoaded, reason_of
from mlbuffet.repository import (
    Catalog,
    ModelRepository,
    ModelVersion,
    Publisher,
    RemoteFolder,
    Residency,
    Sources,
    State,
    Watcher,
    default_cache,
    is_remote,
)
from mlbuffet.running import RunningCalls
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Limits, Scheduling
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.processes.server_process import Server, address_of, is_loopback, listen
from mlbuffet.server.processes.supervisor import Supervisor
from mlbuffet.server.processes.temporary_files import own_temporary_folder
from mlbuffet.telemetry.worker_slot import WorkerSlot

SWITCH_SECONDS = 0.001
"""How soon a thread gives up Python's lock for the event loop; by default it is five times as long.

Beside two threads of a model written in Python, the slowest of the requests for health took half as long with it.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheBounds:
    """How much memory kept answers have, and the URL of the Redis that keeps them too, if there is one."""

    memory: int
    redis: str | None

    def __post_init__(self) -> None:
        self.make()  # a URL that is none is a wrong use of the command line

    def make(self) -> PredictionCache:
        """A cache, for one process."""
        try:
            return PredictionCache(MemoryCache(self.memory), None if self.redis is None else RedisCache(self.redis))
        except ValueError as error:
            raise typer.BadParameter(f"--cache-redis: {error}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Which models are served, and how they come and go."""

    places: list[str]
    """Paths and URLs."""
    runtime: str | None
    watch: bool
    residency: Residency
    cache: "CacheBounds"
    batching: bool
    """Whether every model is batched that can be."""
    limits: Limits
    """Of the models whose ``model.toml`` says nothing else."""
    changeable: bool = False
    """Whether clients that have a token may add models."""

    @property
    def may_be_empty(self) -> bool:
        """Whether a server without a model that is loaded is of use: they may come, or be loaded when asked."""
        return self.watch or self.residency.on_demand or self.changeable


class CannotListen(typer.TyperException):
    """A wrong use of the command line, of which no single parameter is wrong."""

    exit_code = 2


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `CannotListen`."""
    try:
        return listen(host, port)
    except (OSError, UnicodeError) as error:  # what is no name at all
        raise CannotListen(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"{host!r} is no address of this machine, and no name of one; choose another with --host"
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use; stop what listens there, or choose another with --port"
        case errno.EACCES:
            return f"this user may not listen on port {port} of {host}; choose one from 1024 on with --port"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine; choose another with --host"
    reason = (error.strerror or str(error)).partition(" (")[0].lower()  # Python appends the address
    return f"cannot listen on port {port} of {host}: {reason}"


def serve_models(
    served: Served, settings: ServerSettings, listener: socket.socket, lines: LogLines, *, as_json: bool
) -> int:
    """Serve models until a signal ends it; the exit status. Raises `NoModelLoaded` where not one could be loaded."""
    guarded = replace(settings, allow_changes=is_loopback(listener))
    if guarded.workers == 1:
        running = RunningCalls.shared()
        announcement = _Announcement(address_of(listener), as_json=as_json)
        with running.watched(as_json=lines.as_json):
            _serve(served, guarded, listener, lines, announcement, running)
        return 0
    RunningCalls().speak_of_crashes(in_file=False)
    work = _Worker(served, guarded, listener, lines, as_json=as_json)
    return Supervisor(guarded.workers, work, listener).run()


@dataclass(frozen=True)
class _Announcement:
    """What is shown, once, of models that have loaded."""

    address: str
    as_json: bool
    connection: Connection | None = None

    def show(self, versions: list[ModelVersion], log: TextIO | None) -> None:
        """As a line of ``log``, where the log is JSON and so is all else."""
        if log is None:
            show_versions(versions, self.address, as_json=self.as_json)
        else:
            log_versions(versions, self.address, log)
        if self.connection is not None:
            self.connection.send("loaded")


@dataclass(frozen=True)
class _Worker:
    """One of several processes that serve the same; it travels to them pickled."""

    served: Served
    settings: ServerSettings
    listener: socket.socket
    lines: LogLines
    as_json: bool

    def __call__(self, slot: WorkerSlot | None, connection: Connection | None, running: RunningCalls) -> None:
        self.lines.set_up()
        running.speak_of_crashes(in_file=self.lines.as_json)
        settings, announcement = replace(self.settings, load_first=True), None
        if connection is not None:
            settings = self.settings
            announcement = _Announcement(address_of(self.listener), self.as_json, connection)
        try:
            _serve(self.served, replace(settings, worker_slot=slot), self.listener, self.lines, announcement, running)
        except MLBuffetError as error:
            end_with(error, as_json=self.lines.as_json)


def _serve(
    served: Served,
    settings: ServerSettings,
    listener: socket.socket,
    lines: LogLines,
    announcement: _Announcement | None,
    running: RunningCalls,
) -> None:
    """Serve in this process; without an announcement, no progress is shown either, for another process shows it."""
    with own_temporary_folder() as remove_files:
        _serve_with(served, settings, listener, lines, announcement, running, remove_files)


def _serve_with(
    served: Served,
    settings: ServerSettings,
    listener: socket.socket,
    lines: LogLines,
    announcement: _Announcement | None,
    running: RunningCalls,
    remove_files: Callable[[], None],
) -> None:
    stdout = lines.take_what_libraries_print()
    runtimes = _runtimes()
    places = [RemoteFolder(one, default_cache()) if is_remote(one) else Path(one) for one in served.places]
    sources = Sources(places, runtimes, served.runtime)
    models = sources.find(may_be_empty=served.may_be_empty)
    scheduling = Scheduling(batching=served.batching, limits=served.limits, running=running)
    repository = ModelRepository(runtimes, served.runtime, served.residency, scheduling, served.cache.make())
    repository.update(models)
    catalog = Catalog(sources, models, repository.update)
    watcher = Watcher(catalog) if served.watch else None
    versions = list(repository)
    total = 0 if served.residency.on_demand else len(versions)
    progress = _Progress(total, hidden=announcement is None, as_json=lines.as_json)

    def loaded() -> None:
        progress.stop()
        if not served.may_be_empty and not any(version.state is State.READY for version in versions):
            server.stop()
        elif announcement is not None:
            announcement.show(versions, stdout)
        if watcher is not None:
            watcher.start()

    writable = None if settings.read_only else sources.writable
    publisher = Publisher(writable, catalog, repository) if writable else None
    app = create_app(repository, settings, publisher, on_change=progress.note, on_loaded=loaded)

    def clean_up() -> None:
        running.note_good_end()
        remove_files()

    server = Server(app, settings, clean_up)
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_memory()
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
        server.run(sockets=[listener])
    if watcher is not None:
        watcher.stop()
    failures = [version.error for version in versions if version.error]
    if len(failures) == len(versions) and not served.may_be_empty:
        raise failures[0] if len(failures) == 1 else NoModelLoaded(failures)


def _runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.discover()
    for name, error in runtimes.broken.items():
        logger.warning("the plugin %r is broken and left out: %s", name, reason_of(error))
    return runtimes


class _Progress:
    """A bar on stderr with the models that are being loaded; lines where it is no terminal, or of the log as JSON."""

    def __init__(self, total: int, *, hidden: bool, as_json: bool) -> None:
        self._logs = as_json and not hidden
        self._console = Console(stderr=True, quiet=hidden or as_json)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=hidden or as_json or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("loading", total=total)
        self._loading: list[str] = []
        self._lock = Lock()
        self._bar.start()

    def note(self, version: ModelVersion) -> None:
        """Hear of a version; from several threads."""
        name = f"{version.name} (version {version.version})"
        with self._lock:
            if version.state is State.LOADING:
                self._loading.append(name)
                if self._logs:
                    logging.getLogger(PROGRESS).info("loading %s", name)
                elif not self._console.is_terminal:
                    self._console.print(f"loading {name} ...", soft_wrap=True)
            elif name in self._loading:
                self._loading.remove(name)
                self._bar.advance(self._task)
            if self._loading:
                self._bar.update(self._task, description=f"loading {', '.join(self._loading)}")

    def stop(self) -> None:
        self._bar.stop()
