"""``mlbuffet serve``: progress while models load, then what is served and where."""

import logging
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mlbuffet.caching import MemoryCache, PredictionCache, RedisCache
from mlbuffet.cli.reports import show_versions
from mlbuffet.errors import NoModelLoaded, reason_of
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
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduling
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.log_format import HumanFormatter, JsonFormatter
from mlbuffet.server.process import Server, address_of, is_loopback, listen

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Which models are served, and how they come and go."""

    places: list[str]
    """Paths and URLs."""
    runtime: str | None
    watch: bool
    residency: Residency
    cache: PredictionCache
    batching: bool
    """Whether every model is batched that can be."""
    token: str | None = None
    """What clients have to show that change models."""

    @property
    def may_be_empty(self) -> bool:
        """Whether a server without a model that is loaded is of use: they may come, or be loaded when asked."""
        return self.watch or self.residency.on_demand or self.token is not None


def set_up_logging(*, as_json: bool, access: bool) -> None:
    """Let lines look as they should, and let those of each request through."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter() if as_json else HumanFormatter())
    if access:
        logging.getLogger("mlbuffet.access").setLevel(logging.INFO)


def prediction_cache(memory: int, redis: str | None) -> PredictionCache:
    """The cache of these bounds, and in the Redis at a URL if there is one."""
    try:
        return PredictionCache(MemoryCache(memory), None if redis is None else RedisCache(redis))
    except ValueError as error:
        raise typer.BadParameter(f"--cache-redis: {error}") from None


def serve_models(served: Served, settings: ServerSettings, *, host: str, port: int, as_json: bool) -> None:
    """Serve models until a signal ends it. Raises `NoModelLoaded` where not one could be loaded."""
    runtimes = _runtimes()
    places = [RemoteFolder(one, default_cache()) if is_remote(one) else Path(one) for one in served.places]
    sources = Sources(places, runtimes, served.runtime)
    models = sources.find(may_be_empty=served.may_be_empty)
    scheduling = Scheduling(batching=served.batching)
    repository = ModelRepository(runtimes, served.runtime, served.residency, scheduling, served.cache)
    repository.update(models)
    catalog = Catalog(sources, models, repository.update)
    watcher = Watcher(catalog) if served.watch else None
    versions = list(repository)
    with _listen(host, port) as listener:
        progress = _Progress(0 if served.residency.on_demand else len(versions))

        def loaded() -> None:
            progress.stop()
            if served.may_be_empty or any(version.state is State.READY for version in versions):
                show_versions(versions, address_of(listener), as_json=as_json)
            else:
                server.stop()
            if watcher is not None:
                watcher.start()

        guarded = replace(settings, allow_changes=is_loopback(listener), admin_token=served.token)
        folder = sources.writable
        publisher = Publisher(folder, catalog, repository) if folder else None
        app = create_app(repository, guarded, publisher, on_change=progress.note, on_loaded=loaded)
        server = Server(app, guarded)
        with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
            server.run(sockets=[listener])
        if watcher is not None:
            watcher.stop()
    failures = [version.error for version in versions if version.error]
    if len(failures) == len(versions) and not served.may_be_empty:
        raise failures[0] if len(failures) == 1 else NoModelLoaded(failures)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0].lower()  # Python appends the address
        raise typer.BadParameter(f"cannot listen on {host}:{port}: {reason}") from error


def _runtimes() -> Runtimes:
    runtimes = Runtimes()
    runtimes.discover()
    for name, error in runtimes.broken.items():
        logger.warning("the plugin %r is broken and left out: %s", name, reason_of(error))
    return runtimes


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
