"""Predictions, routed before all other requests."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mlbuffet.server.http.errors import Handler


class PredictionRouter:
    """Calls the endpoints of ``routes`` without Starlette's routing, which costs as much as a small model.

    They stay routes of the application too, which describes them, refuses other methods, and serves them where it is
    mounted below a path.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route], handlers: Mapping[type[Exception], Handler]) -> None:
        self._app = app
        self._handlers = {kind: handler for kind, handler in handlers.items() if kind is not Exception}
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
                    except tuple(self._handlers) as error:
                        handler = next(self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers)
                        response = await handler(request, error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)
