"""The token that a request shows, by RFC 6750."""

import hmac
from collections.abc import Iterable, Sequence

from starlette.exceptions import HTTPException


def check_bearer(given: Sequence[str], tokens: Iterable[str], what: str, which: str = "") -> None:
    """Raise `HTTPException` where the headers ``Authorization`` of a request hold none of ``tokens``: 401, or 400 where
    there are several headers. ``what`` takes a token, as the response says: the one called ``which``,
    where there are several.

    Responses are those of RFC 6750 (3.1), which clients read in ``WWW-Authenticate``.
    """
    if len(given) > 1:
        raise _unauthorized(400, "send one header 'Authorization: Bearer <token>'", "invalid_request")
    scheme, _, credentials = "".join(given).partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise _unauthorized(401, f"{what} take 'Authorization: Bearer <token>'")
    shown = credentials.strip().encode()
    if not any(hmac.compare_digest(shown, token.encode()) for token in tokens):
        rule = f"{what} take {which}: " if which else ""
        raise _unauthorized(401, f"{rule}the token is not that of this server", "invalid_token")


def _unauthorized(status: int, message: str, error: str = "") -> HTTPException:
    return HTTPException(status, message, {"www-authenticate": f'Bearer error="{error}"' if error else "Bearer"})
