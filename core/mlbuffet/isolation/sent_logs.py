"""What a process of a model logs, as lines of the server's log."""

import logging
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from mlbuffet.isolation.control import Control
from mlbuffet.running_calls import REQUEST_IDS


class SendingHandler(logging.Handler):
    """Sends records to the server."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            content = record.name, record.levelno, record.getMessage(), trace, REQUEST_IDS.get().decode()
            self._control.send("log", *content)
        except Exception:  # noqa: BLE001 as every handler does
            self.handleError(record)


def log(content: Sequence[Any]) -> None:
    """Log what was sent."""
    name, level, message, trace, ids = content
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    about = f" [request{'s' * (' ' in ids)} {ids.replace(' ', ', ')}]" if ids else ""
    record = logger.makeRecord(name, level, "", 0, "%s%s", (message, about), None)
    if trace:
        record.exc_text = trace
        record.fields = {"traceback": trace}
    logger.handle(record)
