"""The token that a request shows, by RFC 6750."""

import hmac
from collections.abc import Iterable, Sequence

from mlbuffet.errors import NotAuthenticated

MALFORMED = "invalid_request"
"""The code of RFC 6750 (3.1) for a request that shows a token in a wrong way."""


def check_bearer(given: Sequence[str], tokens: Iterable[str], what: str, which: str = "") -> None:
    """Raise `NotAuthenticated` where the headers ``Authorization`` of a request, or the metadata of that name, hold
    none of ``tokens``, or are several. ``what`` takes a token, as the message says: the one called
    ``which``, where there are several.
    """
    if len(given) > 1:
        raise NotAuthenticated("send one header 'Authorization: Bearer <token>'", MALFORMED)
    scheme, _, credentials = "".join(given).partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise NotAuthenticated(f"{what} take 'Authorization: Bearer <token>'")
    shown = credentials.strip().encode()
    if not any(hmac.compare_digest(shown, token.encode()) for token in tokens):
        rule = f"{what} take {which}: " if which else ""
        raise NotAuthenticated(f"{rule}the token is not that of this server", "invalid_token")
