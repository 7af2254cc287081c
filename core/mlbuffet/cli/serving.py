"""``mlbuffet serve``: progress while models load, then what is served and where."""

import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mlbuffet.cli.allocator import keep_memory
from mlbuffet.cli.logs import PROGRESS, LogLines, end_with
from mlbuffet.cli.options import ServedOptions
from mlbuffet.cli.reports import show_versions
from mlbuffet.cli.setting_sources import WrongSetting
from mlbuffet.errors import MLBuffetError, UnknownRuntime, reason_of
from mlbuffet.repository import ModelVersion, RepositorySettings, ServedPlaces, State
from mlbuffet.running_calls import RunningCalls
from mlbuffet.runtime_choice import Preference, names_of
from mlbuffet.runtimes import Runtimes, installed_runtimes
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.certificates import WrongCertificates, certificates_of
from mlbuffet.server.processes.port_reservation import reserve
from mlbuffet.server.processes.server_process import Server, address_of, host_and_port, is_loopback, listen
from mlbuffet.server.processes.supervisor import Supervisor
from mlbuffet.server.processes.temporary_files import own_temporary_folder
from mlbuffet.server.processes.unix_socket import listen_at, removal_of
from mlbuffet.telemetry.counter_table import WorkerSlot

SWITCH_SECONDS = 0.001
"""After how long a thread gives up Python's lock for the event loop; the default is five times as long.

Beside two threads of a model in Python, the slowest of the requests for health took half as long with it.
"""

logger = logging.getLogger(__name__)


class CannotListen(typer.TyperException):
    """A wrong use of the command line, of which no single parameter is wrong."""

    exit_code = 2


def listen_on(host: str, port: int, uds: Path | None = None) -> socket.socket:
    """A socket that listens there, or at the path ``uds``. Raises `CannotListen`."""
    if uds is not None:
        try:
            return listen_at(uds)
        except OSError as error:
            raise CannotListen(_why_not_at(uds, error)) from error
    try:
        return listen(host, port)
    except (OSError, UnicodeError) as error:  # what is no name at all
        raise CannotListen(_why_not(host, port, error)) from error


@contextmanager
def reserved_for_grpc(host: str, port: int | None) -> Iterator[tuple[str, int] | None]:
    """The address that only gRPC servers of this server's processes can have. Raises `CannotListen`."""
    if port is None:
        yield None
        return
    if not all(map(find_spec, ("grpc", "grpc_health", "grpc_reflection"))):
        raise CannotListen("--grpc-port takes packages that are not installed: pip install 'mlbuffet[grpc]'")
    try:
        held = reserve(host, port)
    except (OSError, UnicodeError) as error:
        raise CannotListen(_why_not(host, port, error, "--grpc-port")) from error
    with held:
        yield held.getsockname()[:2]


def check_runtime(name: str | None) -> None:
    """Raises `WrongSetting` where no such runtime is installed."""
    if name is None or name in (runtimes := installed_runtimes()):
        return
    raise WrongSetting(f"--runtime: {UnknownRuntime(name, (one.name for one in runtimes), runtimes.broken)}")


def check_transport(settings: ServerSettings) -> None:
    """Raises `WrongSetting` where a server could not start, or not end, as it is set up."""
    if settings.drain is not None and settings.drain >= settings.grace:
        raise WrongSetting(f"--drain {settings.drain:g} is part of --grace {settings.grace:g}, and must be less")
    certificates = certificates_of(settings)
    if certificates is None:
        if settings.ssl_keyfile or settings.ssl_ca_certs:
            raise WrongSetting("--ssl-keyfile and --ssl-ca-certs take --ssl-certfile, the certificate of the server")
        return
    try:
        certificates.context()
    except WrongCertificates as error:
        raise WrongSetting(str(error)) from error


def _why_not_at(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"another server listens at '{path}'; stop it, or choose another path with --uds"
        case errno.EEXIST:
            return f"'{path}' is there, and no socket; choose another path with --uds"
    return f"cannot listen at '{path}': {(error.strerror or str(error)).lower()}"


def _why_not(host: str, port: int, error: OSError | UnicodeError, option: str = "--port") -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"{host!r} is no address of this machine, and no name of one; choose another with --host"
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use; stop what listens there, or choose another with {option}"
        case errno.EACCES:
            return f"this user may not listen on port {port} of {host}; choose one from 1024 on with {option}"
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
    models: RepositorySettings
    options: ServedOptions

    def __post_init__(self) -> None:
        try:
            self.models.make_cache()  # an invalid URL is a wrong use of the command line
        except ValueError as error:
            raise typer.BadParameter(f"--cache-redis: {error}") from None

    def run(self, listener: socket.socket) -> int:
        """Serve until a signal; the exit status. Raises `NoModelLoaded` where no model could be loaded."""
        remove_socket = removal_of(listener)
        if self.settings.ssl_certfile is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until the server handles it
        try:
            if self.settings.workers == 1:
                running = RunningCalls.shared()
                with running.watched(as_json=self.lines.as_json):
                    self._serve(listener, running, on_loaded=lambda: None, remove_socket=remove_socket)
                return 0
            RunningCalls().enable_faulthandler(in_file=False)
            work = partial(self._work, listener)
            return Supervisor(self.settings.workers, work, listener, remove_socket).run()
        finally:
            remove_socket()

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
        except WrongCertificates as error:  # they have changed since the start, and this worker replaces another
            end_with(WrongSetting(str(error)), as_json=self.lines.as_json)

    def _serve(
        self,
        listener: socket.socket,
        running: RunningCalls,
        on_loaded: Callable[[], None] | None,
        slot: WorkerSlot | None = None,
        remove_socket: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve in this process; without ``on_loaded`` nothing is shown, because another process shows it."""
        with own_temporary_folder() as remove_files:
            settings = replace(
                self.settings, allow_changes=is_loopback(listener), worker_slot=slot, load_first=on_loaded is None
            )
            stdout = self.lines.take_what_libraries_print()
            changeable = settings.admin_token is not None and not settings.read_only
            runtimes = _runtimes(self.models.preference)
            self.options.set_defaults(runtimes, self.models.runtime)
            served = ServedPlaces(
                self.places,
                runtimes,
                self.models,
                options=self.options.of_models,
                may_be_empty=changeable,
                running=running,
                timeout=settings.request_timeout,
            )
            if unknown := self.options.unknown_models(served.names, runtimes):
                if not served.may_be_empty:
                    raise unknown
                logger.warning("%s", unknown)  # it may come
            total = 0 if self.models.residency.on_demand else len(served.versions)
            progress = _Progress(total, hidden=on_loaded is None, as_json=self.lines.as_json)

            def loaded() -> None:
                progress.stop()
                if served.is_useless:
                    server.stop()
                elif on_loaded is not None:
                    scheme = "http" if settings.ssl_certfile is None else "https"
                    address = address_of(listener, scheme)
                    grpc = settings.grpc_address and host_and_port(*settings.grpc_address)
                    show_versions(served.versions, address, stdout, grpc=grpc, as_json=self.as_json)
                    on_loaded()
                served.follow()

            def clean_up() -> None:
                running.note_good_end()
                remove_files()
                remove_socket()

            publisher = None if settings.read_only else served.publisher(settings.policy_of_uploads)
            app = create_app(served.repository, settings, publisher, on_change=progress.note, on_loaded=loaded)
            server = Server(app, settings, clean_up)
            sys.setswitchinterval(SWITCH_SECONDS)
            keep_memory()
            with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
                server.run(sockets=[listener])
            served.unfollow()
            served.check_loaded()


def _runtimes(preference: Preference | None) -> Runtimes:
    runtimes = Runtimes()
    runtimes.discover()
    for name, error in runtimes.broken.items():
        logger.warning("the plugin %r is broken and left out: %s", name, reason_of(error))
    last_resort = preference.last_resort if preference else None  # it is an error where it is not there
    for name in names_of(preference):
        if name not in runtimes and name not in runtimes.broken and name != last_resort:
            there = ", ".join(map(str, runtimes)) or "none"
            logger.warning("the runtime %r, which is preferred, is not installed; there are: %s", name, there)
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
