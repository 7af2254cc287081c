"""One of the processes of a model, life after life."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, NamedTuple, Protocol

from mlbuffet.errors import LoadFailed
from mlbuffet.isolation import sent_errors, sent_logs, sent_signatures
from mlbuffet.isolation.channel import Channel, ProcessGone
from mlbuffet.isolation.messages import Packed
from mlbuffet.isolation.model_calls import ModelCalls
from mlbuffet.isolation.process import ModelProcess
from mlbuffet.load_context import OtherModel
from mlbuffet.tensors import Signatures

_TICK = 0.25
STEADY_SECONDS = 60.0
"""A process that lived so long is replaced at once, as if none had ended before it."""

logger = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """What a process says of its model."""

    signatures: Signatures
    concurrency: int | None
    memory: int | None
    imports: dict[str, float]


class FirstCall(NamedTuple):
    """A call that a process answers before it is used."""

    message: Packed
    tail: bytes


class End(NamedTuple):
    """How a process ended."""

    pid: int
    how: str
    """``SIGSEGV``, ``exit code 1``, or that a call took too long."""
    running: int
    """How many calls ran."""


@dataclass(eq=False)
class Life:
    """A process that has loaded the model; it changes under the lock of its `Owner`."""

    process: ModelProcess
    concurrency: int | None
    idle: list[Channel] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    running: int = 0
    """How many calls."""
    reserved: object = None
    """The call that waits to run alone, or does."""
    verdict: str = ""
    """Why this server ended it, if it did."""
    ended: Future[End] = field(default_factory=Future)
    begun: float = field(default_factory=time.monotonic)

    def open_channel(self) -> Channel:
        """Another channel. Raises `ProcessGone`."""
        channel = Channel()
        try:
            self.process.control.send("channel", files=channel.files)
        except OSError as error:
            channel.close()
            raise ProcessGone from error
        return channel

    def warm(self, calls: Sequence[FirstCall]) -> None:
        """Have it answer ``calls``, however it does. Raises `ProcessGone`."""
        channel = self.open_channel()
        try:
            for call in calls:
                channel.begin(call.message, call.tail)
                while not self._is_answered(channel):
                    pass
        finally:
            channel.close()

    def _is_answered(self, channel: Channel) -> bool:
        try:
            channel.finish(_TICK)
        except TimeoutError:
            if self.process.has_ended:  # nobody wakes the channel yet
                raise ProcessGone from None
            return False
        return True


class Owner(Protocol):
    """What is told of each process of a model."""

    def other_model(self, name: str) -> OtherModel:
        """The model that the process asks for. Raises `LoadFailed`."""
        ...

    def note_start(self, instance: "Instance", life: Life, loaded: Loaded) -> None:
        """It answers from now on. Raises `LoadFailed` where it may not."""
        ...

    def note_failure(self, instance: "Instance", error: Exception) -> float | None:
        """It could not be loaded; in how many seconds it is started anew, ``None``: it is not."""
        ...

    def note_end(self, instance: "Instance", life: Life, end: End, dump: str) -> float | None:
        """It ended, with what faulthandler wrote; as above."""
        ...


class Instance:
    """Starts a process in a thread of its own, starts it anew, and follows what it says."""

    def __init__(self, task: bytes, owner: Owner, *, confined: bool) -> None:
        self._task = task
        self._confined = confined
        self._owner = owner
        self._process: ModelProcess | None = None
        """That can be killed."""
        self._lock = Lock()
        self._closing = Event()
        self.life: Life | None = None
        """While it can be called."""
        self.failures = 0
        """How often it ended in a row, each time before it was steady."""
        # it outlives the process, which the kernel kills with the thread that started it
        self._thread = Thread(target=self._run, name="mlbuffet-process", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Let the process unload the model and end, or end it where it loads; it is not started anew."""
        self._closing.set()
        life = self.life
        if life is None:
            self.kill()
            return
        try:
            life.process.control.send("end")
        except OSError:
            self.kill()

    def join(self, seconds: float) -> None:
        """Wait until it has ended; kill it after so many ``seconds``."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.kill()
            self._thread.join()

    def kill(self) -> None:
        """End the process now."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _run(self) -> None:
        delay: float | None = 0.0
        while delay is not None and not self._closing.wait(delay):
            delay = self._live_once()

    def _live_once(self) -> float | None:
        """From the start to the end of one process; when the next is due."""
        try:
            process = ModelProcess(self._task, confined=self._confined)
        except OSError as error:
            reason = LoadFailed("its process cannot be started", detail=str(error))
            return self._owner.note_failure(self, reason)
        with self._lock:
            self._process = process
        if self._closing.is_set():
            self.kill()
        calls = ModelCalls(_Asked(self._owner))
        life: Life | None = None
        failure: Exception | None = None
        try:
            loaded = self._load(process, calls)
            life = Life(process, loaded.concurrency)
            self._owner.note_start(self, life, loaded)
            self._follow(process, calls)
        except Exception as error:  # noqa: BLE001 a runtime's, or for what a process sends that is none of ours
            failure = error
            process.kill()
        with self._lock:
            self._process = None
        how, dump = process.reap(), process.crash_dump()
        calls.close()
        if failure is not None:
            return self._owner.note_failure(self, _with_end(failure, how, dump))
        assert life is not None
        return self._owner.note_end(self, life, End(process.pid, how, 0), dump)

    def _load(self, process: ModelProcess, calls: ModelCalls) -> Loaded:
        """Wait until the model is loaded. Raises what the runtime raised."""
        while True:
            (kind, *content), files = self._next(process) or (["gone"], [])
            match kind:
                case "loaded":
                    signatures, concurrency, memory, imports = content
                    return Loaded(sent_signatures.received(signatures), concurrency, memory, imports)
                case "failed":
                    raise sent_errors.received(content[0])
                case "model":
                    self._answer_model(process, content[0])
                case "gone":
                    raise ProcessGone
                case _:
                    self._take(kind, content, files, calls)

    def _answer_model(self, process: ModelProcess, name: str) -> None:
        try:
            self._owner.other_model(name)
        except Exception as error:  # noqa: BLE001 whatever it is, the model gets it
            process.control.send("error", sent_errors.sent(error))
        else:
            process.control.send("model", name)

    def _follow(self, process: ModelProcess, calls: ModelCalls) -> None:
        while (message := self._next(process)) is not None:
            (kind, *content), files = message
            self._take(kind, content, files, calls)

    def _next(self, process: ModelProcess) -> tuple[list[Any], list[int]] | None:
        return process.control.receive() if process.has_message() else None

    def _take(self, kind: str, content: list[Any], files: list[int], calls: ModelCalls) -> None:
        if kind == "log":
            sent_logs.log(content)
        elif kind == "channel":
            memory, requested, answered = files
            calls.serve((memory, requested, answered))


class _Asked(dict[str, OtherModel]):
    """The models that a process asked for, by name, as its owner has them."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner

    def __missing__(self, name: str) -> OtherModel:
        return self._owner.other_model(name)


def _with_end(error: Exception, how: str, dump: str) -> Exception:
    if not isinstance(error, ProcessGone):
        return error
    return LoadFailed("its process ended while it was loaded", detail=f"{how}\n{dump}".strip())
