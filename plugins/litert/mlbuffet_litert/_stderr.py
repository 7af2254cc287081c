"""The process's stderr without the line that LiteRT writes there when a process first uses its delegate."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_STDERR = 2
_LINE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
_ALONE: threading.Lock = vars(sys).setdefault("_mlbuffet_stderr", threading.Lock())
"""The descriptor is the process's, and so is the lock: whoever redirects it holds this one, other plugins too."""


@contextmanager
def without_greeting() -> Iterator[None]:
    """Keep the line back, and write all else that came inside to stderr at the end.

    It stays as it is while another plugin redirects it, where the process has closed it, and where no file can be made.
    """
    with ExitStack() as stack:
        if _ALONE.acquire(blocking=False):
            stack.callback(_ALONE.release)
            with suppress(OSError):
                original = os.dup(_STDERR)
                stack.callback(os.close, original)
                file = stack.enter_context(tempfile.TemporaryFile())
                os.dup2(file.fileno(), _STDERR)
                stack.callback(_put_back, original, file.fileno())
        yield


def _put_back(original: int, file: int) -> None:
    os.dup2(original, _STDERR)
    if written := os.pread(file, os.fstat(file).st_size, 0).replace(_LINE, b""):
        with suppress(OSError):
            os.write(_STDERR, written)
