"""Who may change what is served."""

import hmac
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from mlbuffet.server.http.loopback import is_loopback_name, not_local
from mlbuffet.server.settings import ServerSettings


def check_change(request: Request, settings: ServerSettings) -> None:
    """Every change passes here. Raises `HTTPException`: 401 without a token or with a wrong one where one is asked for,
    400 for what is none, 403 where clients may change nothing, and for a page of another site.

    One of several processes would change only itself, and the next request may reach another.

    A browser lets any page send a POST anywhere, and names that page's site in ``Origin``. A site may also give its own
    name the address of this machine (DNS rebinding), so that without a token only names that are this machine for
    certain are taken.
    """
    if settings.read_only:
        raise HTTPException(403, "this server is read-only (--read-only): clients change nothing that it serves")
    if settings.workers > 1:
        raise HTTPException(
            403, f"this server has {settings.workers} processes, and a request reaches one: change its folder (--watch)"
        )
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request.headers.get("host", ""), settings):
        raise HTTPException(403, "a page of another site may not change what is served")
    if settings.admin_token is not None:
        _check_token(request.headers.getlist("authorization"), settings.admin_token)
    elif not settings.allow_changes:
        raise HTTPException(
            403,
            "this server does not let clients change what is served: it listens on more than this machine, and was "
            "started without --admin-token-file",
        )
    elif reason := not_local(request.scope["headers"]):
        raise HTTPException(
            403,
            f"without a token, only programs on this machine may change what is served, and this request may be "
            f"another's: {reason}; start the server with --admin-token-file, and send the token",
        )


def _check_token(given: list[str], token: str) -> None:
    """The answers are those of RFC 6750 (3.1), which clients read in ``WWW-Authenticate``."""
    if len(given) > 1:
        raise _unauthorized(400, "send one header 'Authorization: Bearer <token>'", "invalid_request")
    scheme, _, credentials = "".join(given).partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise _unauthorized(401, "changes take 'Authorization: Bearer <token>'")
    if not hmac.compare_digest(credentials.strip().encode(), token.encode()):
        raise _unauthorized(401, "the token is not that of this server", "invalid_token")


def _unauthorized(status: int, message: str, error: str = "") -> HTTPException:
    return HTTPException(status, message, {"www-authenticate": f'Bearer error="{error}"' if error else "Bearer"})


def _is_own(origin: str, host: str, settings: ServerSettings) -> bool:
    try:
        site = urlsplit(origin)
        name = site.hostname or ""
        return site.netloc == host and (settings.admin_token is not None or is_loopback_name(name))
    except ValueError:
        return False
