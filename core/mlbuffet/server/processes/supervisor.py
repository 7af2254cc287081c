"""Processes that serve on one socket, held in number until a signal ends them."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import gettempdir
from threading import Thread

from mlbuffet.running_calls import RunningCalls
from mlbuffet.server.processes.temporary_files import TemporaryFolder
from mlbuffet.telemetry.counter_table import WorkerSlot, worker_slots

LONGEST_DELAY = 60.0
STEADY_SECONDS = 60.0
"""A worker that lived so long is replaced at once, as if none had died before it."""
_ENDINGS = (signal.SIGTERM, signal.SIGINT)
_GOOD_EXITS = (0, *(-ending for ending in _ENDINGS))
_TICK = 0.25

logger = logging.getLogger("mlbuffet.server.supervisor")

Work = Callable[[WorkerSlot | None, Connection | None, RunningCalls], None]
"""A worker's main function, which can be pickled; the slot is its own while it lives.

The first worker reports on its connection that its models are loaded. Later ones get none, and load before they serve.
"""


@dataclass
class _Place:
    """One of the workers, life after life."""

    slot: WorkerSlot | None
    process: BaseProcess | None = None
    running: RunningCalls = field(default_factory=RunningCalls)
    started: float = 0.0
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Starts ``count`` processes that do ``work``, and replaces those that die, after 1, 2, 4... seconds.

    The first is alone until it has loaded, so that what fails for one does not fail for all. Signals are passed on to
    all of them; what they have accepted they answer. Where this process is killed, they end as at SIGTERM. SIGHUP, at
    which they read their certificates again, is passed on where it is blocked when `run` is called. ``clean_up`` is
    called before `run` ends the process.
    """

    def __init__(
        self, count: int, work: Work, listener: socket.socket, clean_up: Callable[[], None] = lambda: None
    ) -> None:
        self._work = work
        self._listener = listener
        self._clean_up = clean_up
        self._passes_hangups_on = False
        self._places = [_Place(slot) for slot in _slots(count)]
        self._context = get_context("spawn")  # a worker starts clean, whatever threads there are here
        self._received: list[signal.Signals] = []
        self._ending: signal.Signals | None = None
        self._status = 0

    def run(self) -> int:
        """Serve until a signal; the exit status: 0, or 1 where a worker did not end as it should.

        After SIGTERM it does not return, and the process ends by that signal, as a server alone does.
        """
        for ending in _ENDINGS:
            signal.signal(ending, lambda number, _: self._received.append(signal.Signals(number)))
        if signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            self._passes_hangups_on = True
            signal.signal(signal.SIGHUP, lambda number, _: self._received.append(signal.Signals(number)))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            folder = TemporaryFolder(Path(gettempdir()))
        except OSError as error:
            reason = error.strerror or error
            logger.error("workers need a folder for temporary files; TMPDIR can say where: %s", reason)
            return 1
        with folder.kept():
            if not self._first_has_loaded():
                return 1
            while self._ending is None or self._running:
                self._tend()
        if self._ending is signal.SIGTERM and not self._status:
            self._clean_up()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        return self._status

    @property
    def _running(self) -> list[BaseProcess]:
        return [place.process for place in self._places if place.process is not None]

    @property
    def _is_ending(self) -> bool:
        return self._ending is not None or any(one in _ENDINGS for one in self._received)

    def _first_has_loaded(self) -> bool:
        """Whether the first worker has loaded, or the server is ending before."""
        ours, theirs = self._context.Pipe(duplex=False)
        self._start(self._places[0], theirs)
        theirs.close()
        while self._ending is None:
            self._pass_signals_on()
            if ours.poll(_TICK):
                return self._loaded_or_ending(ours)
        return True

    def _loaded_or_ending(self, first: Connection) -> bool:
        """Whether the first worker has loaded, or the server is ending; a worker that failed has logged why."""
        with suppress(EOFError):
            return bool(first.recv())
        for place in self._places:
            process = place.process
            if process is None:
                continue
            process.join()
            place.running.report(process.pid or 0)
            if process.exitcode not in (0, 1) and not self._is_ending:
                logger.error("the worker %d ended (%s) before it had loaded", process.pid, _how(process))
        return self._is_ending

    def _tend(self) -> None:
        """Start what is due, pass on what was received, and note what has ended."""
        self._pass_signals_on()
        for place in self._places:
            if place.process is not None and not place.process.is_alive():
                self._note_end(place, place.process)
            if place.process is None and self._ending is None and time.monotonic() >= place.due:
                self._start(place)
        wait([process.sentinel for process in self._running], _TICK)

    def _start(self, place: _Place, announce: Connection | None = None) -> None:
        place.running = RunningCalls.shared()
        arguments = self._work, place.slot, announce, place.running, os.getpid()
        place.process = self._context.Process(target=_live, args=arguments)
        with self._hangups_blocked():
            place.process.start()
        place.started = time.monotonic()

    @contextmanager
    def _hangups_blocked(self) -> Iterator[None]:
        """For a process that starts here: one that does not handle SIGHUP yet would end by it."""
        if not self._passes_hangups_on:
            yield
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _note_end(self, place: _Place, process: BaseProcess) -> None:
        place.process = None
        place.running.report(process.pid or 0)
        if self._ending is not None:
            self._status |= process.exitcode not in _GOOD_EXITS
            return
        steady = time.monotonic() - place.started > STEADY_SECONDS
        place.failures = 0 if steady else place.failures + 1
        delay = 0.0 if steady else min(2.0 ** (place.failures - 1), LONGEST_DELAY)
        place.due = time.monotonic() + delay
        logger.warning("the worker %d ended (%s); another starts in %g s", process.pid, _how(process), delay)

    def _pass_signals_on(self) -> None:
        while self._received:
            received = self._received.pop(0)
            if received is signal.SIGHUP:
                self._send(received)
                continue
            # a worker that has only begun to start would print a traceback at SIGINT
            passed_on = signal.SIGTERM if self._ending is None else received
            self._ending = self._ending or received
            self._listener.close()  # or new connections would wait for nobody
            self._send(passed_on)

    def _send(self, number: signal.Signals) -> None:
        for process in self._running:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _slots(count: int) -> Sequence[WorkerSlot | None]:
    try:
        return worker_slots(count)
    except OSError as error:
        logger.warning("metrics are those of one worker, without memory that all can share: %s", error.strerror)
        return [None] * count


def _live(
    work: Work, slot: WorkerSlot | None, announce: Connection | None, running: RunningCalls, supervisor: int
) -> None:
    """Work as a process of its own, which Ctrl-C on a terminal reaches through the supervisor alone."""
    os.setpgrp()
    Thread(target=_follow, args=(supervisor,), name="mlbuffet-follow", daemon=True).start()
    work(slot, announce, running)


def _follow(supervisor: int) -> None:
    while os.getppid() == supervisor:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
