"""Who may reach the models, where that takes a token."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mlbuffet.server.http.bearer import check_bearer
from mlbuffet.server.http.errors import Handler
from mlbuffet.server.http.route_path import route_path
from mlbuffet.server.settings import ServerSettings
from mlbuffet.token_file import value_of

OPEN = frozenset({
    "/", "/help", "/docs", "/openapi.json", "/api/test", "/v2/health/live", "/v2/health/ready", "/metrics",
    "/monitoring/prometheus/metrics",
})  # fmt: skip
"""What says of the server alone how it does, and what it answers; all other paths take a token."""

RawHeaders = Sequence[tuple[bytes, bytes]]


class ModelTokens:
    """The tokens that open the models: that for predictions, and that for changes, which may do more."""

    def __init__(self, settings: ServerSettings) -> None:
        self._tokens = [one for one in (settings.predict_token, settings.admin_token) if one is not None]

    def current(self) -> list[str]:
        """Those that count now."""
        return [value_of(token) for token in self._tokens]

    def check(self, headers: RawHeaders) -> None:
        """Raise `HTTPException` where ``headers`` show none of them: 401, or 400 for several headers."""
        given = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
        check_bearer(given, self.current(), "models")


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
                self._tokens.check(scope["headers"])
            except HTTPException as refusal:
                response = await self._answer(Request(scope), refusal)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
