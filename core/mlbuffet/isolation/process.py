"""A process of a model, as its server starts and ends it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from mlbuffet.isolation.control import Control

_START = Path(__file__).with_name("start.py")
CONFINEMENT = Path(__file__).with_name("confinement.py")
"""Whose ``confine`` confines a process that has imported nothing yet."""
_DUMP = 64 * 2**10
_PATIENCE_MS = 2000
"""How long a process may take to end that has closed its socket: it may write a core dump."""


class ModelProcess:
    """Starts it for a pickled `Task`. It ends with the thread that started it; `reap` has to be called.

    It has a folder of its own for temporary files; where it is ``confined``, files can be written nowhere else. Raises
    ``OSError``.
    """

    def __init__(self, task: bytes, *, confined: bool) -> None:
        self._temporary = mkdtemp(prefix="mlbuffet-")
        ours, theirs = socket.socketpair()
        self._dump = os.memfd_create("mlbuffet-crash")
        with theirs:
            files = theirs.fileno(), self._dump
            given = json.dumps({"path": sys.path, "folders": [self._temporary] if confined else None})
            command = [sys.executable, str(_START), *map(str, files), given]
            environment = {**os.environ, "TMPDIR": self._temporary}
            try:
                self._process = subprocess.Popen(  # noqa: S603 ours
                    command, stdin=subprocess.DEVNULL, pass_fds=files, process_group=0, env=environment
                )
            except OSError:
                ours.close()
                os.close(self._dump)
                rmtree(self._temporary, ignore_errors=True)
                raise
        self.pid = self._process.pid
        self.control = Control(ours)
        self._alive = os.pidfd_open(self.pid)
        self._poll = select.poll()
        self._poll.register(self._alive, select.POLLIN)
        self._poll.register(ours, select.POLLIN)
        with suppress(OSError):  # it has ended already
            self.control.send_bytes(task)

    def has_message(self) -> bool:
        """Wait for a message; false where the process has ended, and all of its messages were read."""
        ready = dict(self._poll.poll())
        return bool(ready.get(self.control.end.fileno(), 0) & select.POLLIN)

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return bool(select.select([self._alive], [], [], 0)[0])

    def kill(self) -> None:
        """End it, and what it started; in any thread, before `reap`."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> str:
        """How it ended, waiting for that, such as ``SIGSEGV``; what it started is ended."""
        ended = select.poll()
        ended.register(self._alive, select.POLLIN)
        if not ended.poll(_PATIENCE_MS):
            self.kill()
            ended.poll()
        self.kill()  # the process cannot have another's id before it was waited for
        code = self._process.wait()
        rmtree(self._temporary, ignore_errors=True)
        self.control.close()
        os.close(self._alive)
        if code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"

    def crash_dump(self) -> str:
        """What faulthandler wrote, once; empty where it was not that kind of end."""
        text = os.pread(self._dump, _DUMP, 0).decode(errors="replace")
        os.close(self._dump)
        return text
