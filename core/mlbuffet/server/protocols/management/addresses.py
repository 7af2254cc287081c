"""The model and the version that an address below /api/v1 means."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mlbuffet.version_numbers import version_in_address

DEFAULT = "default"


def name_and_version(request: Request) -> tuple[str, int | None]:
    """``iris``, ``iris:default`` and ``iris:2``; ``None`` is the default. Raises `InvalidInput`."""
    name, colon, version = request.path_params["tag"].partition(":")
    if not colon or version == DEFAULT:
        return name, None
    return name, version_in_address(version, f", or {DEFAULT!r}")


class SharedRoute(Route):
    """One of several routes of a path, each for one method; its error 405 lists the methods of all of them."""

    def __init__(self, path: str, endpoint: Callable[..., Any], method: str, allowed: Sequence[str]) -> None:
        super().__init__(path, endpoint, methods=[method])
        self._allowed = ", ".join(allowed)

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": self._allowed})
        await super().handle(scope, receive, send)
