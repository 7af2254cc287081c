"""Errors below /api as MLBuffet's API tells them: with the status in the body as well."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.server.protocols.management.answers import status

Handler = Callable[[Request, Exception], Awaitable[Response]]


def with_status(handler: Handler) -> Handler:
    """``handler``, whose answers have ``http_status`` beside ``error`` where the address was one below /api."""

    async def answer(request: Request, error: Exception) -> Response:
        response = await handler(request, error)
        if not request.url.path.startswith("/api/"):
            return response
        told: dict[str, Any] = orjson.loads(response.body)
        body = orjson.dumps({"http_status": status(response.status_code, told["error"]), **told})
        headers = {**response.headers, "content-length": str(len(body))}
        return Response(body, response.status_code, headers)

    return answer
