"""Who may reach the models, where that takes a token."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mlbuffet.errors import NotAuthenticated
from mlbuffet.server.http.bearer import as_http
from mlbuffet.server.http.errors import Handler
from mlbuffet.server.http.route_path import route_path
from mlbuffet.server.model_tokens import ModelTokens

OPEN = frozenset({
    "/", "/help", "/docs", "/openapi.json", "/api/test", "/v2/health/live", "/v2/health/ready", "/metrics",
    "/monitoring/prometheus/metrics",
})  # fmt: skip
"""What says of the server alone how it does, and what it answers; all other paths take a token."""

RawHeaders = Sequence[tuple[bytes, bytes]]


def authorization(headers: RawHeaders) -> list[str]:
    """The headers ``Authorization`` of a request."""
    return [value.decode("latin-1") for name, value in headers if name == b"authorization"]


class ModelGuard:
    """A middleware that lets requests without a token reach nothing but what is `OPEN`."""

    def __init__(self, app: ASGIApp, *, tokens: ModelTokens, answer: Handler) -> None:
        self._app = app
        self._tokens = tokens
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan" and route_path(scope) not in OPEN:
            try:
                self._tokens.check(authorization(scope["headers"]))
            except NotAuthenticated as refusal:
                response = await self._answer(Request(scope), as_http(refusal))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
