"""``mlbuffet serve``: progress while models load, then what is served and where."""

import errno
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mlbuffet.caching import MemoryCache, PredictionCache, RedisCache
from mlbuffet.cli.allocator import keep_memory
from mlbuffet.cli.logs import PROGRESS, LogLines, end_with
from mlbuffet.cli.options import ServedOptions
from mlbuffet.cli.reports import show_versions
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
from mlbuffet.running_calls import RunningCalls
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Limits, Scheduling
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.processes.server_process import Server, address_of, is_loopback, listen
from mlbuffet.server.processes.supervisor import Supervisor
from mlbuffet.server.processes.temporary_files import own_temporary_folder
from mlbuffet.telemetry.worker_slot import WorkerSlot

SWITCH_SECONDS = 0.001
"""After how long a thread gives up Python's lock for the event loop; the default is five times as long.

Beside two threads of a model in Python, the slowest of the requests for health took half as long with it.
"""

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """A server as the command line describes it; each of its workers gets a copy."""

    settings: ServerSettings
    lines: LogLines
    as_json: bool
    """Whether the models that have loaded are shown as JSON."""
    places: list[str]
    """Paths and URLs."""
    runtime: str | None
    options: ServedOptions
    watch: bool
    residency: Residency
    cache_memory: int
    """In bytes."""
    cache_redis: str | None
    """A URL."""
    batching: bool
    """Whether every model is batched that can be."""
    limits: Limits
    """The defaults for models whose ``model.toml`` sets none."""

    def __post_init__(self) -> None:
        self.make_cache()  # an invalid URL is a wrong use of the command line

    def make_cache(self) -> PredictionCache:
        """A cache for one process."""
        redis = self.cache_redis
        try:
            return PredictionCache(MemoryCache(self.cache_memory), None if redis is None else RedisCache(redis))
        except ValueError as error:
            raise typer.BadParameter(f"--cache-redis: {error}") from None

    @property
    def may_be_empty(self) -> bool:
        """Whether the server is of use without a loaded model: models may be added, or loaded on demand."""
        changeable = self.settings.admin_token is not None and not self.settings.read_only
        return self.watch or self.residency.on_demand or changeable

    def run(self, listener: socket.socket) -> int:
        """Serve until a signal; the exit status. Raises `NoModelLoaded` where no model could be loaded."""
        if self.settings.workers == 1:
            running = RunningCalls.shared()
            with running.watched(as_json=self.lines.as_json):
                self._serve(listener, running, on_loaded=lambda: None)
            return 0
        RunningCalls().enable_faulthandler(in_file=False)
        return Supervisor(self.settings.workers, partial(self._work, listener), listener).run()

    def _work(
        self,
        listener: socket.socket,
        slot: WorkerSlot | None,
        connection: Connection | None,
        running: RunningCalls,
    ) -> None:
        """Serve as one of several workers; the first has a ``connection``, over which it says that it has loaded."""
        self.lines.set_up()
        running.enable_faulthandler(in_file=self.lines.as_json)
        on_loaded = None if connection is None else partial(connection.send, "loaded")
        try:
            self._serve(listener, running, on_loaded, slot)
        except MLBuffetError as error:
            end_with(error, as_json=self.lines.as_json)

    def _serve(
        self,
        listener: socket.socket,
        running: RunningCalls,
        on_loaded: Callable[[], None] | None,
        slot: WorkerSlot | None = None,
    ) -> None:
        """Serve in this process; without ``on_loaded`` nothing is shown, because another process shows it."""
        with own_temporary_folder() as remove_files:
            settings = replace(
                self.settings, allow_changes=is_loopback(listener), worker_slot=slot, load_first=on_loaded is None
            )
            stdout = self.lines.take_what_libraries_print()
            runtimes = _runtimes()
            self.options.set_defaults(runtimes, self.runtime)
            places = [RemoteFolder(one, default_cache()) if is_remote(one) else Path(one) for one in self.places]
            sources = Sources(places, runtimes, self.runtime)
            models = sources.find(may_be_empty=self.may_be_empty)
            if unknown := self.options.unknown_models([model.name for model in models], runtimes):
                if not self.may_be_empty:
                    raise unknown
                logger.warning("%s", unknown)  # it may come
            scheduling = Scheduling(batching=self.batching, limits=self.limits, running=running)
            options = self.options.of_models
            repository = ModelRepository(runtimes, self.runtime, self.residency, scheduling, self.make_cache(), options)
            repository.update(models)
            catalog = Catalog(sources, models, repository.update)
            watcher = Watcher(catalog) if self.watch else None
            versions = list(repository)
            total = 0 if self.residency.on_demand else len(versions)
            progress = _Progress(total, hidden=on_loaded is None, as_json=self.lines.as_json)

            def loaded() -> None:
                progress.stop()
                if not self.may_be_empty and not any(version.state is State.READY for version in versions):
                    server.stop()
                elif on_loaded is not None:
                    show_versions(versions, address_of(listener), stdout, as_json=self.as_json)
                    on_loaded()
                if watcher is not None:
                    watcher.start()

            def clean_up() -> None:
                running.note_good_end()
                remove_files()

            writable = None if settings.read_only else sources.writable
            publisher = Publisher(writable, catalog, repository) if writable else None
            app = create_app(repository, settings, publisher, on_change=progress.note, on_loaded=loaded)
            server = Server(app, settings, clean_up)
            sys.setswitchinterval(SWITCH_SECONDS)
            keep_memory()
            with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
                server.run(sockets=[listener])
            if watcher is not None:
                watcher.stop()
            failures = [version.error for version in versions if version.error]
            if len(failures) == len(versions) and not self.may_be_empty:
                raise failures[0] if len(failures) == 1 else NoModelLoaded(failures)


def _runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.discover()
    for name, error in runtimes.broken.items():
        logger.warning("the plugin %r is broken and left out: %s", name, reason_of(error))
    return runtimes


class _Progress:
    """A bar on stderr with the models that are being loaded; elsewhere than on a terminal, lines."""

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
        """Show the new state of a version; called from several threads."""
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
