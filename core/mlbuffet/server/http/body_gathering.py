"""HTTP/1.1 with bodies that wake the one who reads them once, when they are whole."""

from collections.abc import Callable

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.server.http.head_limits import LimitedHttpToolsProtocol

_GATHER = "mlbuffet.gather"


class GatheringHttpToolsProtocol(LimitedHttpToolsProtocol):
    """Hands the pieces of a body over as they come, where the one who reads it has asked with `gather`.

    Otherwise each wakes its task, after it was copied twice, and the socket is left alone until that has run.
    """

    _take: Callable[[bytes], None] | None = None

    @override
    def on_headers_complete(self) -> None:
        self.scope["state"][_GATHER] = self._gather
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if self._take is None or self._refused:
            super().on_body(body)
        elif not self.cycle.response_complete:
            self._take(body)

    @override
    def on_message_complete(self) -> None:
        self._take = None
        super().on_message_complete()

    def _gather(self, take: Callable[[bytes], None]) -> None:
        self._take = take


def gather(request: Request, take: Callable[[bytes], None]) -> None:
    """Have ``take`` called with the pieces of the body that are still to come, so that ``receive`` only tells its end.

    To be called before the body has ended, and where its length is bounded: nobody else stops the client. Under a
    server that knows nothing of it, ``receive`` goes on to give the pieces.
    """
    begin: Callable[[Callable[[bytes], None]], None] | None = request.scope.get("state", {}).get(_GATHER)
    if begin is not None:
        begin(take)
