"""Which requests the fast path may take, where some must be refused or answered in another way."""

from collections.abc import Callable
from typing import TypeVar

from mlbuffet.errors import NotAuthenticated
from mlbuffet.server.fast_path.request_heads import Head, RequestHeads
from mlbuffet.server.http.model_guard import authorization
from mlbuffet.server.model_tokens import ModelTokens

T = TypeVar("T")


class Admission:
    """Leaves to the application what shows no token of ``tokens``, and, where pages of other sites may ask, what they
    send, because its responses have more headers."""

    def __init__(self, tokens: ModelTokens | None, *, cross_origin: bool) -> None:
        self._tokens = tokens
        self._cross_origin = cross_origin

    def finder(self, recognize: Callable[[Head], T | None]) -> Callable[[bytes], T | None]:
        """`RequestHeads.find` for what may be taken; where tokens change, all heads are looked at again."""

        def admitted(head: Head) -> T | None:
            return recognize(head) if self._admits(head) else None

        if self._tokens is None:
            return RequestHeads(admitted).find
        tokens, heads, current = self._tokens, RequestHeads(admitted), self._tokens.current()

        def find(head: bytes) -> T | None:
            nonlocal heads, current
            if (now := tokens.current()) != current:
                heads, current = RequestHeads(admitted), now
            return heads.find(head)

        return find

    def _admits(self, head: Head) -> bool:
        if self._cross_origin and any(name == b"origin" for name, _ in head.headers):
            return False
        if self._tokens is not None:
            try:
                self._tokens.check(authorization(head.headers))
            except NotAuthenticated:
                return False
        return True
