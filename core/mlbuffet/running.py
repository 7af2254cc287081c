"""What a process runs at each moment, in memory that outlives it: who survives a crash logs it.

No code of Python runs in a process that crashes, or is killed. So each call into a runtime is noted in a file in memory
before it begins, and another process reads that file: the supervisor that of a worker, and for a server of one process
this file, run as a program that waits for the server's end. It imports next to nothing, so that it takes little memory.
"""

import faulthandler
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from fcntl import LOCK_EX, LOCK_UN, lockf
from mmap import mmap
from struct import Struct
from typing import Any, TypeVar

REQUEST_IDS: ContextVar[bytes] = ContextVar("request_ids", default=b"")
"""The ids of the requests that this task or thread works for, with spaces between them."""

_SLOT = 2048
_NOTE = Struct(f"B{_SLOT - 1}s")
"""Of a call: 1 while it runs, its head and the ids of its requests, cut off where they are longer."""
_SIZE = 8192 * _SLOT
"""Of the notes; only pages that were written take memory. In the file, what faulthandler writes comes behind them."""
_LAST = 1
"""Which of the first words says in which slot the call is noted that returned last."""
_LONGEST_SIGNATURE = 200
_PATIENCE = 1.0
"""Seconds in which the process that waits for a crash ends where there was none."""

T = TypeVar("T")
Entry = tuple[str, dict[str, Any]]
"""A line of the log: its message and the fields that it has as JSON."""


class RunningCalls:
    """The calls under way in one process, a slot for each; the first says whether it ended well, and its last call."""

    def __init__(self, file: int = -1) -> None:
        self._file = file
        """-1 where nobody else is to read it."""
        self.memory = memoryview(mmap(file, _SIZE))
        self.words = self.memory.cast("Q")
        self.free = deque(range(_SIZE - _SLOT, 0, -_SLOT))
        """Slots of which no call is noted: more than there can be threads; what returned last is used next."""
        self._monitor: Any = None

    @classmethod
    def shared(cls) -> "RunningCalls":
        """Those that another process can read, where the system has a place for them."""
        try:
            file = file_in_memory("mlbuffet-running")
            os.ftruncate(file, _SIZE)
        except OSError:
            return cls()
        return cls(file)

    def __reduce__(self) -> tuple[Any, ...]:
        """For a process that is being started, which writes to the same memory."""
        if self._file < 0:
            return RunningCalls, ()
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self._file),)

    def of(self, model: str, version: int) -> "VersionCalls":
        """Where the calls of one version of a model are noted."""
        return VersionCalls(self, model, version)

    def note_good_end(self) -> None:
        """What happens from now on is no crash; the process that waits for one ends."""
        self.memory[0] = 1
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            from subprocess import TimeoutExpired

            lockf(self._file, LOCK_UN)
            with suppress(TimeoutExpired):  # somebody has stopped it
                monitor.wait(_PATIENCE)

    def speak_of_crashes(self, *, in_file: bool) -> None:
        """At a crash Python shows on stderr, or ``in_file`` for who reads it, what each thread was doing.

        Also where PYTHONFAULTHANDLER has asked for it, which writes to whatever the descriptor 2 is then.
        """
        if in_file and self._file >= 0:
            os.lseek(self._file, _SIZE, os.SEEK_SET)
            faulthandler.enable(file=self._file)
        else:
            with suppress(OSError):  # a daemon may have closed it
                faulthandler.enable(file=os.dup(2))

    def report(self, process: int) -> None:
        """Log what ``process``, which has ended, was running, unless it ended well; and forget it."""
        if self._file < 0:
            return
        import logging

        for message, fields in _entries(self._file, process):
            logging.getLogger(__name__).error("%s", message, extra={"fields": fields})
        os.close(self._file)
        self._file = -1

    @contextmanager
    def watched(self, *, as_json: bool) -> Iterator[None]:
        """Have a process that outlives this one, unless this is the first of a container, log what it was running."""
        if self._file < 0:
            self.speak_of_crashes(in_file=False)
            yield
            return
        self._monitor = _monitor(self._file, as_json=as_json)
        self.speak_of_crashes(in_file=as_json and self._monitor is not None and os.getpid() != 1)
        try:
            yield
        finally:
            self.note_good_end()


class VersionCalls:
    """Those of one version of a model."""

    def __init__(self, calls: RunningCalls, model: str, version: int) -> None:
        self._calls = calls
        self._model = model
        self._version = version

    def run(self, activity: str, work: Callable[[], T]) -> T:
        """What ``work`` gives, noted while it runs: the load of the version, or what ``activity`` says."""
        return self._noted(activity, lambda *_, **__: work(), {})(None)

    def noting(self, predict: Callable[..., T], signatures: Iterable[str], default: str | None) -> Callable[..., T]:
        """``predict`` of the model, noted while it runs, with the requests for which it does."""
        heads: dict[str | None, bytes] = {name: self._head("predict", name) for name in signatures}
        if default is not None:
            heads[None] = heads[default]
        return self._noted("predict", predict, heads)

    def _noted(self, activity: str, work: Callable[..., T], heads: Mapping[str | None, bytes]) -> Callable[..., T]:
        """``work``, noted with what ``heads`` has for its signature: in one function, as each request pays for it."""
        other, head_of, request_ids = self._head(activity), heads.get, REQUEST_IDS.get
        write, memory, words = _NOTE.pack_into, self._calls.memory, self._calls.words
        take, give = self._calls.free.pop, self._calls.free.append

        def noted(inputs: Any, signature: str | None = None, outputs: Any = None, any_shape: bool = False) -> T:  # noqa: FBT001, FBT002
            slot = take()
            write(memory, slot, 1, head_of(signature, other) + request_ids())
            try:
                return work(inputs, signature=signature, outputs=outputs, any_shape=any_shape)
            finally:
                words[_LAST] = slot
                memory[slot] = 0
                give(slot)

        # so that faulthandler shows which model it is, which a process without a survivor needs
        name = f"{activity} of {self._model!r} (version {self._version})"
        noted.__code__ = noted.__code__.replace(co_name=name)
        return noted

    def _head(self, activity: str, signature: str = "") -> bytes:
        """The beginning of a note; JSON has no line break, and no null."""
        import json

        head = [activity, self._model, self._version, signature[:_LONGEST_SIGNATURE]]
        return json.dumps(head, ensure_ascii=False).encode(errors="replace") + b"\n"


def _received(file: Any) -> RunningCalls:
    return RunningCalls(file.detach())


def file_in_memory(name: str) -> int:
    """A file that has ``name`` nowhere but in lists of open files. Raises ``OSError``."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    from tempfile import mkstemp

    file, path = mkstemp()
    os.unlink(path)  # noqa: PTH108
    return file


def _monitor(file: int, *, as_json: bool) -> Any:
    """The process that outlives this one, in a session of its own, which no Ctrl-C reaches; ``None`` without one."""
    import subprocess

    command = [sys.executable, "-I", "-S", __file__, str(file), str(os.getpid()), "json" if as_json else "human"]
    with suppress(OSError):
        lockf(file, LOCK_EX)  # a child of this process does not inherit it, as it would the end of a pipe
        return subprocess.Popen(  # noqa: S603 ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[file], start_new_session=True
        )
    return None


def _entries(file: int, process: int) -> list[Entry]:
    """What is to be logged of a process that has ended: nothing where it ended well."""
    if os.pread(file, 1, 0) == b"\1":
        return []
    entries: list[Entry] = []
    if dump := os.pread(file, 2**20, _SIZE).decode(errors="replace"):
        message = f"the process {process} crashed: {dump.partition(chr(10))[0]}"
        entries.append((message, {"process": process, "traceback": dump}))
    for place in range(_SLOT, _SIZE, _SLOT):
        slot = os.pread(file, _SLOT, place)
        if slot[:1] == b"\1":
            entries.append(_entry(f"the process {process} ended while it ran", slot, process))
    last = int.from_bytes(os.pread(file, 8, 8 * _LAST), sys.byteorder)
    if last and len(entries) == bool(dump):
        beginning = f"the process {process} ended suddenly, while it ran no model; the last it did was"
        entries.append(_entry(beginning, os.pread(file, _SLOT, last), process))
    return entries


def _entry(beginning: str, slot: bytes, process: int) -> Entry:
    import json

    head, _, rest = slot[1:].partition(b"\n")
    ids, whole, _ = rest.partition(b"\0")
    activity, model, version, signature = json.loads(head.decode(errors="replace"))
    request_ids = ids.decode(errors="replace").split() + ([] if whole else ["..."])
    which = f"version {version}" + (f", signature {signature!r}" if signature else "")
    about = f" [request{'s' * (len(request_ids) > 1)} {', '.join(request_ids)}]" if request_ids else ""
    fields = {"process": process, "activity": activity, "model": model, "version": version, "signature": signature}
    return f"{beginning} {activity} of {model!r} ({which}){about}", {**fields, "request_ids": request_ids}


def _survive(file: int, process: int, log_format: str) -> None:
    """Wait for the end of ``process``, and say what it was running then, unless it ended well."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # it ends with the server
        signal.signal(number, signal.SIG_IGN)
    lockf(file, LOCK_EX)
    for message, fields in _entries(file, process):
        line = _as_json(message, fields) if log_format == "json" else f"ERROR mlbuffet.running: {message}"
        os.write(2, f"{line}\n".encode(errors="replace"))


def _as_json(message: str, fields: dict[str, Any]) -> str:
    """As the server's own lines are."""
    import json
    from datetime import UTC, datetime

    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": "ERROR", "logger": "mlbuffet.running", "message": message, **fields})


if __name__ == "__main__":
    with suppress(OSError):  # nobody reads stderr any more
        _survive(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
