"""Pages of other sites that may use this server (CORS)."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from mlbuffet.server.http.errors import Handler

EXPOSED = ("Inference-Header-Content-Length", "X-Request-Id", "Retry-After", "WWW-Authenticate")
"""The headers of responses that a page may read besides the usual ones."""


class CrossOrigin(CORSMiddleware):
    """The middleware that answers preflights, and lets pages of ``origins`` (``*``: all) read responses."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "POST"), allow_headers=("*",), expose_headers=EXPOSED
        )


def readable_across_origins(answer: Handler, origins: Sequence[str]) -> Handler:
    """``answer``, whose responses are sent outside of that middleware, with its headers."""

    async def answer_across_origins(request: Request, error: Exception) -> Response:
        return _Wrapped(await answer(request, error), origins)

    return answer_across_origins


class _Wrapped(Response):
    """A response that is sent through the middleware."""

    def __init__(self, response: Response, origins: Sequence[str]) -> None:
        super().__init__(response.body, response.status_code)
        self.raw_headers = response.raw_headers
        self._send = CrossOrigin(response, origins)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._send(scope, receive, send)
