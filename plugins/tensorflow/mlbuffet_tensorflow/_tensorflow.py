"""TensorFlow, imported and used without a word on the terminal."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from mlbuffet.hookspecs import stderr_kept_back
from mlbuffet_tensorflow._libraries import load_libraries

logger = logging.getLogger("mlbuffet_tensorflow")

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_FRAMEWORK_LINE = re.compile(
    rb"[IWE]\d{4} [\d:. ]+\d+ \S+\.cc:\d+\]|\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log mess"
)

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


def _stderr_sifted() -> AbstractContextManager[bool]:
    """TensorFlow's lines on file descriptor 2 are kept back, and what others write there meanwhile is passed on.

    TensorFlow's libraries log a few lines while they are loaded, before they look at TF_CPP_MIN_LOG_LEVEL
    (tensorflow/tensorflow#100442).
    """
    return stderr_kept_back(_of_others, wait=True)


def _of_others(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    for line in lines:
        if _FRAMEWORK_LINE.match(line):
            logger.debug("%s", line.decode(errors="replace").rstrip())
    return b"".join(line for line in lines if not _FRAMEWORK_LINE.match(line))


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
