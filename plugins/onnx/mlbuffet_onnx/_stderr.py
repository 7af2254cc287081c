"""What native code writes to the process's stderr for a while, as records of Python's logging."""

import logging
import re
from contextlib import AbstractContextManager

from mlbuffet.hookspecs import stderr_kept_back

logger = logging.getLogger("mlbuffet_onnx")

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


def stderr_to_logging() -> AbstractContextManager[bool]:
    """Log what onnxruntime writes to file descriptor 2 inside, and write all else there at the end.

    Its Python interface has no callback. Gives whether it is so: not while another load or another plugin's import has
    the descriptor, and not where no file can be made.
    """
    return stderr_kept_back(lambda written: _MESSAGE.sub(_log, written))


def _log(message: re.Match[bytes]) -> bytes:
    logger.log(_LEVELS[message["severity"]], "onnxruntime: %s", message["text"].decode(errors="replace").strip())
    return b""
