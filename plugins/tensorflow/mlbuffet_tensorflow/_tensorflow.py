"""TensorFlow, imported and used without a word on the terminal."""

import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, BinaryIO

from mlbuffet_tensorflow._libraries import load_libraries

logger = logging.getLogger("mlbuffet_tensorflow")

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_FRAMEWORK_LINE = re.compile(
    rb"[IWE]\d{4} [\d:. ]+\d+ \S+\.cc:\d+\]|\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log mess"
)

_ALONE: threading.Lock = vars(sys).setdefault("_mlbuffet_stderr", threading.Lock())
"""The descriptor is the process's, and so is the lock: whoever redirects it holds this one, other plugins too."""

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """What TensorFlow's Python code logs inside goes to our logger, as debugging; what the program's own use of
    TensorFlow logs meanwhile, in other threads, is left alone.
    """
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _reroute(record: logging.LogRecord) -> bool:
    if not _quiet.get():
        return True
    logger.debug("%s: %s", record.name, record.getMessage())
    return False


@contextmanager
def _stderr_sifted() -> Iterator[None]:
    """TensorFlow's lines on file descriptor 2 are kept back, and what others write there meanwhile is passed on.

    TensorFlow's libraries log a few lines while they are loaded, before they look at TF_CPP_MIN_LOG_LEVEL
    (tensorflow/tensorflow#100442).
    """
    with _ALONE:
        try:
            file, terminal = _file(), os.dup(2)
        except OSError:  # there is no room for a file, or a daemon has closed its stderr
            yield
            return
        with file as written:
            os.dup2(written.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(terminal, 2)
                os.close(terminal)
                written.seek(0)
                _sift(written.read())


def _file() -> BinaryIO:
    """A file in memory, where the system has such: the temporary folder may be read-only. Raises `OSError`."""
    return os.fdopen(os.memfd_create("stderr"), "w+b") if sys.platform == "linux" else tempfile.TemporaryFile()


def _sift(text: bytes) -> None:
    for line in text.splitlines(keepends=True):
        if _FRAMEWORK_LINE.match(line):
            logger.debug("%s", line.decode(errors="replace").rstrip())
        else:
            os.write(2, line)


def _import() -> Any:
    """TensorFlow, silent unless we debug; a program that imported it before, or chose a log level, keeps its choice."""
    logging.getLogger("matplotlib").addFilter(_reroute)  # Keras imports it, and it warns where HOME cannot be written
    level = "0" if logger.isEnabledFor(logging.DEBUG) else "3"
    if "tensorflow" in sys.modules or os.environ.setdefault(LOG_LEVEL, level) == "0":
        import tensorflow
    else:
        with quiet(), _stderr_sifted():
            load_libraries()
            import tensorflow
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).addFilter(_reroute)
    return tensorflow


tf = _import()

# ruff: noqa: E402 importing these first would import TensorFlow aloud
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow.python.framework.ops import dismantle_graph

__all__ = ["config_pb2", "dismantle_graph", "quiet", "saved_model_pb2", "tf"]
