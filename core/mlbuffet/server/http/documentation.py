"""The server's description of itself: /openapi.json for programs, /docs for people."""

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mlbuffet.server.http.openapi import Operation, Protocol, Schema, describe

_POLICY = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def routes(protocols: Sequence[Protocol]) -> list[Route]:
    """The routes of the document and the page that describe ``protocols`` and these two; made at the first request."""

    @lru_cache(maxsize=8)
    def encoded(root_path: str) -> bytes:
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return orjson.dumps(described() | servers)

    @cache
    def described() -> Schema:
        return describe([*protocols, own], version("mlbuffet"))

    async def document(request: Request) -> Response:
        """This document."""
        return Response(encoded(request.scope.get("root_path") or ""), media_type="application/json")

    async def page(request: Request) -> Response:
        """This document as a page, on which requests can be tried."""
        html = files("mlbuffet.server.http").joinpath("docs.html").read_bytes()
        return HTMLResponse(html, headers={"content-security-policy": _POLICY})

    operations = {
        document: Operation(answer=dict[str, Any]),
        page: Operation(answer=str, media_type="text/html"),
    }
    own = Protocol("Documentation", [Route("/openapi.json", document), Route("/docs", page)], operations, {})
    return list(own.routes)
