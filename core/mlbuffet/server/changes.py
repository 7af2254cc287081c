"""Who may change what is served."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from mlbuffet.server.settings import ServerSettings


def check_change(request: Request, settings: ServerSettings) -> None:
    """Raises `HTTPException` 403 where clients may change nothing, and for a page of another site.

    One of several processes would change only itself, and the next request may reach another.

    A browser lets any page send a POST anywhere, and names that page's site in ``Origin``. A site may also give its own
    name the address of this machine (DNS rebinding), so that only names that are this machine for certain are taken.
    """
    if not settings.allow_changes:
        raise HTTPException(403, "this server does not let clients load or unload models")
    if settings.workers > 1:
        raise HTTPException(
            403, f"this server has {settings.workers} processes, and a request reaches one: change its folder (--watch)"
        )
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request.headers.get("host", "")):
        raise HTTPException(403, "a page of another site may not load or unload models")


def _is_own(origin: str, host: str) -> bool:
    try:
        site = urlsplit(origin)
        return site.netloc == host and (site.hostname == "localhost" or ip_address(site.hostname or "").is_loopback)
    except ValueError:
        return False
