"""HTTP/1.1 with bodies that wake their reader once, when they are whole."""

from collections.abc import Callable

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.server.http.head_limits import LimitedHttpToolsProtocol

_PROTOCOL = "mlbuffet.protocol"


class GatheringHttpToolsProtocol(LimitedHttpToolsProtocol):
    """Passes the pieces of a body to its reader as they arrive, where that has called `gather`.

    Otherwise each piece is copied twice and wakes the reader's task, and the socket is not read until that has run.
    """

    take: Callable[[bytes], None] | None = None

    def close_after_response(self) -> None:
        """Close, with a header that says so, after the response that is due; new ones have it from the server."""
        if self.cycle is not None and not self.cycle.response_started and not self.pipeline:
            self.cycle.keep_alive = False

    @override
    def on_headers_complete(self) -> None:
        self.scope["state"][_PROTOCOL] = self
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if self.take is None or self._refused:
            super().on_body(body)
        elif not self.cycle.response_complete:
            self.take(body)

    @override
    def on_message_complete(self) -> None:
        self.take = None
        super().on_message_complete()


def gather(request: Request, take: Callable[[bytes], None]) -> None:
    """Call ``take`` with each piece of the body that is still to come; ``receive`` then returns only the end.

    To be called before the body has ended, and where its length is bounded, because nothing else limits it. Under
    another server ``receive`` continues to return the pieces.
    """
    protocol: GatheringHttpToolsProtocol | None = request.scope.get("state", {}).get(_PROTOCOL)
    if protocol is not None:
        protocol.take = take
