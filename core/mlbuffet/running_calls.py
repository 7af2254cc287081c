"""The calls that a process runs at each moment, in memory that outlives it, for the log of a crash.

No Python code runs in a process that crashes or is killed. So each call into a runtime is noted in a file in memory
before it begins, and another process reads that file: for a worker the supervisor, and for a server of one process
this module, run as a program that waits for the server's end. It imports little, so that it takes little memory.
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
"""The ids of the requests that this task or thread serves, with spaces between them."""

_SLOT = 2048
_NOTE = Struct(f"B{_SLOT - 1}s")
"""A call: 1 while it runs, then its head and the ids of its requests, cut off where they are longer."""
_SIZE = 8192 * _SLOT
"""The size of all slots; only written pages take memory. In the file, the output of faulthandler follows them."""
_LAST = 1  # the index of the word that holds the slot of the call that returned last

T = TypeVar("T")
Entry = tuple[str, dict[str, Any]]  # a line of the log: its message, and its fields where the log is JSON


class RunningCalls:
    """The calls under way in one process, a slot for each; the first slot holds whether it ended well."""

    def __init__(self, file: int = -1) -> None:
        self._file = file
        """-1 where no other process reads it."""
        self.memory = memoryview(mmap(file, _SIZE))
        self.words = self.memory.cast("Q")
        self.free = deque(range(_SIZE - _SLOT, 0, -_SLOT))
        """Unused slots, more than there can be threads; the last that became free is used next."""
        self._monitor: Any = None

    @classmethod
    def shared(cls) -> "RunningCalls":
        """Calls that another process can read, where the system has room for them."""
        try:
            file = file_in_memory("mlbuffet-running")
            os.ftruncate(file, _SIZE)
            return cls(file)
        except OSError:
            return cls()

    def __reduce__(self) -> tuple[Any, ...]:
        """For a child process, which writes to the same memory."""
        return RunningCalls, (self._file,)

    def note_good_end(self) -> None:
        """Let what follows be no crash, and end the monitor."""
        self.memory[0] = 1
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            from subprocess import TimeoutExpired

            lockf(self._file, LOCK_UN)
            with suppress(TimeoutExpired):  # it may be stopped
                monitor.wait(timeout=1)

    def enable_faulthandler(self, *, in_file: bool) -> None:
        """Dump the tracebacks of all threads at a crash, to stderr or ``in_file``.

        Even where PYTHONFAULTHANDLER has done so, which writes to whatever the descriptor 2 is at the crash.
        """
        if in_file and self._file >= 0:
            os.lseek(self._file, _SIZE, os.SEEK_SET)
            faulthandler.enable(file=self._file)
        else:
            with suppress(OSError):  # a daemon may have closed it
                faulthandler.enable(file=os.dup(2))

    def report(self, process: int) -> None:
        """Log what ``process``, which has ended, was running, unless it ended well; then close the file."""
        if self._file < 0:
            return
        import logging

        for message, fields in _entries(self._file, process):
            logging.getLogger("mlbuffet.running").error("%s", message, extra={"fields": fields})
        os.close(self._file)
        self._file = -1

    @contextmanager
    def watched(self, *, as_json: bool) -> Iterator[None]:
        """Start a monitor that logs what this process runs when it crashes, unless it is the first of a container."""
        if self._file < 0:
            self.enable_faulthandler(in_file=False)
            yield
            return
        self._monitor = _monitor(self._file, as_json=as_json)
        self.enable_faulthandler(in_file=as_json and self._monitor is not None and os.getpid() != 1)
        try:
            yield
        finally:
            self.note_good_end()


class VersionCalls:
    """The calls of one version of a model."""

    def __init__(self, calls: RunningCalls, model: str, version: int) -> None:
        self._calls = calls
        self.model = model
        self.version = version

    def run(self, activity: str, work: Callable[[], T]) -> T:
        """The result of ``work``, noted while it runs as ``activity``, such as the load of the version."""
        return self._noted(activity, lambda *_, **__: work(), {})(None)

    def noting(self, predict: Callable[..., T], signatures: Iterable[str], default: str | None) -> Callable[..., T]:
        """``predict`` of the model, noted while it runs, with the ids of its requests."""
        heads: dict[str | None, bytes] = {name: self._head("predict", name) for name in signatures}
        if default is not None:
            heads[None] = heads[default]
        return self._noted("predict", predict, heads)

    def _noted(self, activity: str, work: Callable[..., T], heads: Mapping[str | None, bytes]) -> Callable[..., T]:
        """``work``, noted with the head of its signature: one function, for it is on the path of each request."""
        other, head_of, request_ids = self._head(activity), heads.get, REQUEST_IDS.get
        write, memory, words = _NOTE.pack_into, self._calls.memory, self._calls.words
        take, give = self._calls.free.pop, self._calls.free.append

        def noted(
            inputs: Any,
            signature: str | None = None,
            outputs: Any = None,
            any_shape: bool = False,  # noqa: FBT001, FBT002
            parameters: Any = None,
            deadline: float | None = None,
        ) -> T:
            slot = take()
            write(memory, slot, 1, head_of(signature, other) + request_ids())
            try:
                return work(
                    inputs,
                    signature=signature,
                    outputs=outputs,
                    any_shape=any_shape,
                    parameters=parameters,
                    deadline=deadline,
                )
            finally:
                words[_LAST] = slot
                memory[slot] = 0
                give(slot)

        # so that faulthandler shows the model, for a process without a monitor
        name = f"{activity} of {self.model!r} (version {self.version})"
        noted.__code__ = noted.__code__.replace(co_name=name)
        return noted

    def _head(self, activity: str, signature: str = "") -> bytes:
        """The beginning of a note: JSON, in which there is no line break and no null."""
        import json

        head = [activity, self.model, self.version, signature[:200]]
        return json.dumps(head, ensure_ascii=False).encode(errors="replace") + b"\n"


class SharedFile(int):
    """The descriptor of a file, which a child process that it is pickled to has open too."""

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(int(self)),)


def _received(file: Any) -> SharedFile:
    return SharedFile(file.detach())


def file_in_memory(name: str) -> SharedFile:
    """A file that has ``name`` nowhere but in lists of open files. Raises ``OSError``."""
    if hasattr(os, "memfd_create"):
        return SharedFile(os.memfd_create(name))
    from tempfile import mkstemp

    file, path = mkstemp()
    os.unlink(path)  # noqa: PTH108
    return SharedFile(file)


def _monitor(file: int, *, as_json: bool) -> Any:
    """Start the monitor in a session of its own, which no Ctrl-C reaches; ``None`` where that fails."""
    import subprocess

    command = [sys.executable, "-I", "-S", __file__, str(file), str(os.getpid()), "json" if as_json else "human"]
    with suppress(OSError):
        lockf(file, LOCK_EX)  # unlike the end of a pipe, children of this process do not inherit it
        return subprocess.Popen(  # noqa: S603 ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[file], start_new_session=True
        )
    return None


def _entries(file: int, process: int) -> list[Entry]:
    """The lines to log of a process that has ended: none where it ended well."""
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


def _wait_and_report(file: int, process: int, log_format: str) -> None:
    """Wait for the end of ``process``, and write what it was running, unless it ended well."""
    import json
    import signal
    from datetime import UTC, datetime

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # it ends with the server
        signal.signal(number, signal.SIG_IGN)
    lockf(file, LOCK_EX)
    for message, fields in _entries(file, process):
        line = f"ERROR mlbuffet.running: {message}"
        if log_format == "json":
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            record = {"time": time, "level": "ERROR", "logger": "mlbuffet.running", "message": message, **fields}
            line = json.dumps(record)
        os.write(2, f"{line}\n".encode(errors="replace"))


if __name__ == "__main__":
    with suppress(OSError):  # stderr may be closed
        _wait_and_report(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
