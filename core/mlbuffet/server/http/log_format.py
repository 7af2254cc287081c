"""Formats of log lines, as text or as JSON, with the id of the request that they are about."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

from mlbuffet.telemetry.request_context import request_id


class HumanFormatter(logging.Formatter):
    """``WARNING mlbuffet.server.http.errors: text [request 7f3a]``."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        about = request_id()
        return super().formatMessage(record) + (f" [request {about}]" if about else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and the ``fields`` of the record."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if about := request_id():
            line["request_id"] = about
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "fields", {}))  # orjson takes no surrogates, which names of files have
