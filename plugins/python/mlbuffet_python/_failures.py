"""What became of the code of a model: where it failed, for those who read the log and for clients."""

import logging
import traceback
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger("mlbuffet.python")


class Failure(NamedTuple):
    """An exception of a model's code."""

    reason: str
    """Its type and line, without its text, which may be of another library; empty where no line of the model is."""
    detail: str


def failure_of(error: BaseException, folder: Path) -> Failure:
    """``error``, which came out of the code in ``folder``."""
    kind = type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_in(frame.filename, folder)]
    if isinstance(error, SyntaxError) and error.filename and _is_in(error.filename, folder):
        return Failure(f"{kind} in line {error.lineno} of {Path(error.filename).name}", error.msg)
    if not frames:
        return Failure("", f"{kind}: {error}")
    last = frames[-1]
    return Failure(f"{kind} in line {last.lineno} of {Path(last.filename).name}", f"{error}, in {last.name}")


def is_raised_in(error: BaseException, folder: Path) -> bool:
    """Whether a statement of the code in ``folder`` raised ``error``, and nothing that it called."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and _is_in(last.tb_frame.f_code.co_filename, folder)


class FailureLog:
    """Logs the traceback of the first failure of each kind; clients decide how often a model fails."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._seen = set[str]()

    def note(self, failure: Failure, error: BaseException) -> None:
        """Log it, unless the same line failed in this way before."""
        if failure.reason and failure.reason not in self._seen:
            self._seen.add(failure.reason)
            logger.error("the code of the model %r failed: %s", self._model, failure.reason, exc_info=error)


def _is_in(filename: str, folder: Path) -> bool:
    return Path(filename).is_relative_to(folder)
