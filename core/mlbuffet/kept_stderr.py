"""What native code writes to the process's stderr for a while, so that a plugin can look at it first."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

_STDERR = 2
_ALONE = threading.Lock()  # the descriptor is the process's


@contextmanager
def stderr_kept_back(passed_on: Callable[[bytes], bytes], *, wait: bool = False) -> Iterator[bool]:
    """Keep back what is written to file descriptor 2 inside, and write at the end what ``passed_on`` makes of it.

    For libraries that have no callback for what they say. Other threads' lines come too: let pass what is not known.
    The descriptor is redirected to a file and not to a pipe, which may fill up, and breaks for a child process that
    outlives it. Gives whether it is redirected: not where the process has closed it or no file can be made, and not
    while another block has it, unless this one is to ``wait`` for that.
    """
    if not _ALONE.acquire(blocking=wait):
        yield False
        return
    try:
        try:
            original, file = os.dup(_STDERR), _file()
        except OSError:
            yield False
            return
        with file as written:
            os.dup2(written.fileno(), _STDERR)
            try:
                yield True
            finally:
                os.dup2(original, _STDERR)
                os.close(original)
                written.seek(0)
                _write(passed_on(written.read()))
    finally:
        _ALONE.release()


def _file() -> BinaryIO:
    """A file in memory, where the system has such: the temporary folder may be read-only. Raises `OSError`."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    from tempfile import TemporaryFile

    return TemporaryFile()


def _write(text: bytes) -> None:
    if text:
        with suppress(OSError), os.fdopen(_STDERR, "wb", closefd=False) as stderr:
            stderr.write(text)
