"""What is counted and logged of calls."""

import logging
from urllib.parse import unquote

from grpc import StatusCode

from mlbuffet.grpc.service import Call
from mlbuffet.telemetry.request_counters import RequestCounters

logger = logging.getLogger("mlbuffet.access")


class CallLog:
    """Counts in ``counters``; ``access_log`` is whether each call is logged."""

    def __init__(self, counters: RequestCounters, *, access_log: bool) -> None:
        self._counters = counters
        self._access_log = access_log

    def note(self, call: Call, path: str, code: StatusCode, seconds: float) -> None:
        """Note the end of a call of the method at ``path``."""
        context = call.context
        self._counters.count((context.protocol, *context.version), code.name, seconds)
        if self._access_log:
            self._log(call, path, code, seconds)

    def _log(self, call: Call, path: str, code: StatusCode, seconds: float) -> None:
        milliseconds = round(seconds * 1000, 3)
        fields = {
            "client": unquote(call.peer().partition(":")[2].rpartition(":")[0]).strip("[]") or "-",
            "method": "gRPC",
            "path": path,
            "status": code.name,
            "milliseconds": milliseconds,
        }
        model, version = call.context.version
        if model:
            fields |= {"model": model, "version": version}
        logger.info("%s %s %s %s %s ms", *list(fields.values())[:5], extra={"fields": fields})
