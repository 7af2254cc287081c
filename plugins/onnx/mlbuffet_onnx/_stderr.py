"""What native code writes to the process's stderr for a while, as records of Python's logging."""

import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

logger = logging.getLogger("mlbuffet_onnx")

_STDERR = 2
_ALONE: threading.Lock = vars(sys).setdefault("_mlbuffet_stderr", threading.Lock())
"""The descriptor is the process's, and so is the lock: whoever redirects it holds this one, other plugins too."""
_LEVELS = {
    b"V": logging.DEBUG,
    b"I": logging.INFO,
    b"W": logging.WARNING,
    b"E": logging.INFO,  # it raises an exception with the same text
    b"F": logging.CRITICAL,
}
_MESSAGE = re.compile(
    rb"(?P<colour>\x1b\[[0-9;]+m)?\d[-\d]+ [\d:.]+ "  # the time
    rb"\[(?P<severity>[VIWEF]):onnxruntime:[^\]\n]*\] "  # and the place in the source
    rb"(?P<text>.*?)(?(colour)\x1b\[m)\n",
    re.DOTALL,
)


@contextmanager
def stderr_to_logging() -> Iterator[bool]:
    """Log what onnxruntime writes to file descriptor 2 inside, and write all else there at the end.

    Its Python interface has no callback. The descriptor is redirected to a file and not to a pipe, which may fill up,
    and breaks for a child process that outlives it. Gives whether it is redirected: not while another load or another
    plugin's import has redirected it, and not where no file can be made.
    """
    if not _ALONE.acquire(blocking=False):
        yield False
        return
    try:
        try:
            file = _file()
        except OSError:
            yield False
            return
        with file as written:
            try:
                with _redirected(written):
                    yield True
            finally:
                written.seek(0)
                _pass_on(written.read())
    finally:
        _ALONE.release()


def _file() -> BinaryIO:
    """A file in memory, where the system has such: the temporary folder may be read-only. Raises `OSError`."""
    return os.fdopen(os.memfd_create("stderr"), "w+b") if sys.platform == "linux" else tempfile.TemporaryFile()


@contextmanager
def _redirected(target: BinaryIO) -> Iterator[None]:
    try:
        original = os.dup(_STDERR)
    except OSError:  # the process has closed its stderr
        yield
        return
    os.dup2(target.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(original, _STDERR)
        os.close(original)


def _pass_on(written: bytes) -> None:
    foreign = _MESSAGE.sub(_log, written)
    if foreign:
        with suppress(OSError), os.fdopen(_STDERR, "wb", closefd=False) as stderr:
            stderr.write(foreign)


def _log(message: re.Match[bytes]) -> bytes:
    logger.log(_LEVELS[message["severity"]], "onnxruntime: %s", message["text"].decode(errors="replace").strip())
    return b""
