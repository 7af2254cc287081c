"""Processes that outlived their server."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def end_orphans(folder: Path) -> None:
    """Kill this user's processes whose ``TMPDIR`` lies in ``folder``, that of a server that was killed.

    Its models' processes have ended with it, but not what those started.
    """
    beginning = b"TMPDIR=" + os.fsencode(folder.absolute()) + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            descriptor = os.pidfd_open(int(process.name))
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                if any(one.startswith(beginning) for one in variables):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
