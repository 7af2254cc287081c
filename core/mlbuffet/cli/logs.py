"""What a command writes to stderr: its log, and the error that ends it."""

import fcntl
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread
from typing import NoReturn, TextIO

import typer

from mlbuffet.errors import MLBuffetError

PROGRESS = "mlbuffet.serve"
"""The logger of progress, of the models served, and of the error that ends a command, where the log is JSON."""

logger = logging.getLogger(__name__)


def open_what_is_closed() -> None:
    """Open the null device as stdin, stdout or stderr where that is closed, before another file gets its descriptor."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor


def set_up_logging(debug: bool) -> bool:  # noqa: FBT001 typer hands a flag's value over so, and takes it back
    """Warnings, or everything, as lines on stderr."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.WARNING)  # plugins log under names of their own
    return debug


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLines:
    """The format of a server's log, for each of its processes."""

    debug: bool
    as_json: bool
    access: bool
    """Whether there is a line for each request."""

    def set_up(self) -> None:
        """Set up logging so."""
        from mlbuffet.server.http.log_format import HumanFormatter, JsonFormatter

        set_up_logging(self.debug)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter() if self.as_json else HumanFormatter())
        if self.as_json:
            _log_what_python_prints()
            logging.getLogger(PROGRESS).setLevel(logging.INFO)
        if self.access:
            logging.getLogger("mlbuffet.access").setLevel(logging.INFO)

    def take_what_libraries_print(self) -> TextIO | None:
        """Where the log is JSON, log each line that libraries print; the result is the original stdout.

        Libraries in C++ may write while they hold the GIL, so that no thread here can read: their end of the pipe does
        not block, and drops what it has no room for. faulthandler does not write there (`RunningCalls`).
        """
        if not self.as_json:
            return None
        try:
            stdout, stderr = (os.fdopen(os.dup(number), "w", buffering=1, errors="replace") for number in (1, 2))
            native, python = os.pipe(), os.pipe()
        except OSError:  # no descriptors are left
            return None
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                handler.setStream(stderr)
        os.set_blocking(native[1], False)
        with suppress(OSError, AttributeError):  # Linux has it
            fcntl.fcntl(native[1], fcntl.F_SETPIPE_SZ, 2**20)
        for number in (1, 2):
            os.dup2(native[1], number)
        os.close(native[1])
        # Python releases the GIL while it writes, so its end of a pipe may block
        sys.stdout = sys.stderr = os.fdopen(python[1], "w", buffering=1, errors="replace")
        for reader in (native[0], python[0]):
            Thread(target=_log_lines, args=[reader], name="mlbuffet-output", daemon=True).start()
        return stdout


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for a log of JSON, even where the rest of it is wrong."""
    values = [one.partition("=")[2] for one in arguments if one.startswith("--log-format=")]
    values += [value for name, value in pairwise(arguments) if name == "--log-format"]
    if not values and "serve" in arguments[:1]:
        values = [os.environ.get("MLBUFFET_LOG_FORMAT", "")]
    return "json" in map(str.lower, values)


def logs_json() -> bool:
    """Whether the log was set up as JSON, such as by a file of settings."""
    return logging.getLogger(PROGRESS).level == logging.INFO


def end_with(error: typer.TyperException | MLBuffetError, *, as_json: bool) -> NoReturn:
    """One line on stderr and the exit code: that of a wrong use, or 1."""
    if isinstance(error, MLBuffetError):
        logger.debug("the error's traceback:", exc_info=error)
        message, status = str(error), 1
    else:
        message, status = error.format_message(), error.exit_code
    line = " ".join(message.split())
    if as_json:
        logging.getLogger(PROGRESS).critical("%s", line)
    else:
        print("error:", line, file=sys.stderr)
    sys.exit(status)


def _log_what_python_prints() -> None:
    """Warnings, and exceptions that nobody catches, as one record each instead of several lines."""
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda kind, error, trace: logger.critical("it failed", exc_info=(kind, error, trace))
    sys.unraisablehook = lambda it: logger.error(
        "%s: %r", it.err_msg or "an exception is ignored in", it.object, exc_info=it.exc_value
    )
    threading.excepthook = lambda it: logger.error(
        "the thread %r failed", it.thread.name if it.thread else "", exc_info=it.exc_value
    )


def _log_lines(descriptor: int) -> None:
    with os.fdopen(descriptor, errors="replace") as lines:
        for line in lines:
            if text := line.strip():
                logging.getLogger("mlbuffet.output").warning("%s", text)
