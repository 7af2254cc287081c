"""The middleware that gives each request an id, counts it and logs it."""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from time import perf_counter
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlbuffet.server.http.errors import CLIENT_CLOSED_REQUEST, answer_http_exception
from mlbuffet.server.http.request_scope import begin_request
from mlbuffet.telemetry.request_context import REQUEST_ID, RequestContext
from mlbuffet.telemetry.request_counters import RequestCounters

STOPPED = HTTPException(503, "the server was stopped before the request was answered", headers={"Connection": "close"})

logger = logging.getLogger("mlbuffet.access")


class RequestLog:
    """A middleware; ``access_log`` is whether each request is logged.

    A request that uvicorn cancels, because the server has to end first, gets the response that ``answer_cut`` returns.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        counters: RequestCounters,
        access_log: bool,
        answer_cut: Callable[[Request, Exception], Awaitable[Response]] = answer_http_exception,
    ) -> None:
        self._app = app
        self._answer_cut = answer_cut
        self._counters = counters
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = begin_request(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"].append((REQUEST_ID, context.request_id))
            await send(message)

        begin = perf_counter()
        try:
            await self._app(scope, receive, answer)
        except Exception:
            context.status = context.status or 500  # Starlette answers so
            raise
        except CancelledError:
            if not scope["app"].state.draining:
                raise
            if not context.status:
                await (await self._answer_cut(Request(scope), STOPPED))(scope, receive, answer)
        finally:
            seconds = perf_counter() - begin
            status = context.status or CLIENT_CLOSED_REQUEST
            self._counters.count((context.protocol, *context.version), status, seconds)
            if self._access_log:
                _log(scope, context, status, seconds)


def _log(scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
    try:
        client = str(ip_address(scope["client"][0])) if scope.get("client") else "-"
    except ValueError:  # a trusted proxy may pass on what a client made up
        client = "-"
    raw = scope.get("raw_path") or quote(scope["path"]).encode()  # ASGI lets servers leave it out
    path = raw.decode("ascii", "replace")  # still percent-encoded: a name may hold a line break
    milliseconds = round(seconds * 1000, 3)
    fields = {"client": client, "method": scope["method"], "path": path, "status": status, "milliseconds": milliseconds}
    model, version = context.version
    if model:
        fields |= {"model": model, "version": version}
    logger.info("%s %s %s %s %s ms", *list(fields.values())[:5], extra={"fields": fields})
