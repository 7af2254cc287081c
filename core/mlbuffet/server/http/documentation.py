"""Where the server describes itself: /openapi.json for programs, /docs for people."""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version as distribution_version
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mlbuffet.server.http.openapi import Operation, Protocol, describe

_POLICY = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def routes(protocols: Sequence[Protocol]) -> list[Route]:
    """The routes of the document and the page that describe ``protocols``, and these two themselves."""
    return Documentation(protocols).routes


class Documentation:
    """The endpoints; the document is made when it is first asked for, so that a server starts without it."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self.routes = [Route("/openapi.json", self.document), Route("/docs", self.page)]
        self._protocols = [*protocols, Protocol("Documentation", self.routes, OPERATIONS, {})]

    async def document(self, request: Request) -> Response:
        """This document."""
        return Response(self._document, media_type="application/json")

    async def page(self, request: Request) -> Response:
        """This document as a page, on which requests can be tried."""
        return HTMLResponse(self._page, headers={"content-security-policy": _POLICY})

    @cached_property
    def _document(self) -> bytes:
        return orjson.dumps(describe(self._protocols, distribution_version("mlbuffet")))

    @cached_property
    def _page(self) -> bytes:
        return files("mlbuffet.server.http").joinpath("docs.html").read_bytes()


OPERATIONS = {
    Documentation.document: Operation(answer=dict[str, Any]),
    Documentation.page: Operation(answer=str, media_type="text/html"),
}
