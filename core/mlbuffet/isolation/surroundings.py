"""What a process of a model may use, and whom it ends with."""

import ctypes
import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from mlbuffet.isolation.task import Task

_SET_DEATH_SIGNAL, _SET_NAME = 1, 15
_OOM_SCORE = 500
"""Of 1000 at most; by this the kernel ends a process of a model before the server when memory runs out."""

logger = logging.getLogger("mlbuffet.process")


def end_with_server(server: int) -> None:
    """Let the kernel kill this process when the thread ends that started it, and end it now if that has ended."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    _prctl(_SET_NAME, ctypes.c_char_p(b"mlbuffet-model"))
    if os.getppid() != server:
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the server ends it, after the last call
        signal.signal(number, lambda *_: None)  # unlike SIG_IGN not what programs inherit that the model starts


def limit(task: Task) -> None:
    """Set the limits that ``task`` has; one that the system does not allow is a warning."""
    _attempt("have the system end it before the server", lambda: _write("/proc/self/oom_score_adj", _OOM_SCORE))
    cores, memory = task.cores, task.memory
    if cores is not None:
        _attempt(f"run on the cores {list(cores)}", lambda: os.sched_setaffinity(0, cores))
    if memory is not None:
        _attempt("limit its memory", lambda: resource.setrlimit(resource.RLIMIT_DATA, (memory, memory)))


def _attempt(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except (OSError, ValueError) as error:
        logger.warning("the process of the model cannot %s: %s", what, error)


def _write(path: str, number: int) -> None:
    Path(path).write_text(str(number))


def _prctl(option: int, value: object) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
