"""Predictions, routed before all other requests."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlbuffet.errors import MLBuffetError
from mlbuffet.server.http.errors import answer_http_exception, answer_mlbuffet_error, answer_nobody


class PredictionRouter:
    """Calls the endpoints of ``routes`` without Starlette's routing, which costs as much as a small model.

    They stay routes of the application too, which describes them, refuses other methods, and serves them where it is
    mounted below a path.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        self._routes = [(route.path_regex, route.endpoint) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            for pattern, endpoint in self._routes:
                if found := pattern.match(scope["path"]):
                    scope["path_params"] = found.groupdict()
                    request = Request(scope, receive, send)
                    try:
                        response = await endpoint(request)
                    except MLBuffetError as error:
                        response = await answer_mlbuffet_error(request, error)
                    except HTTPException as error:
                        response = await answer_http_exception(request, error)
                    except ClientDisconnect as error:
                        response = await answer_nobody(request, error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)
