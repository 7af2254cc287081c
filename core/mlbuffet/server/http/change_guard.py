"""Who may change what is served."""

import re
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from mlbuffet.server.http.bearer import check_bearer
from mlbuffet.server.settings import ServerSettings
from mlbuffet.token_file import value_of

_FORWARDING = re.compile(
    rb"forwarded(-for)?|x-forwarded(-.+)?|x-original-(forwarded-for|host|url|to)|x-rewrite-url|via|cdn-loop|cf-.+"
    rb"|x-(real|remote)-ip|x-remote-addr|x-envoy-.+|x-azure-(clientip|socketip|fdid|ref)|x-appengine-.+"
    rb"|(.+-)?client-?ip"  # X-Client-IP, True-Client-IP, Fastly-Client-IP and their like
)


def check_change(request: Request, settings: ServerSettings) -> None:
    """Raise `HTTPException` where ``request`` may change nothing: 401 for a missing or wrong token, 400 for a malformed
    one, 403 where clients may change nothing, and for a page of another site.

    One of several processes would change only itself, and the next request may reach another.

    A browser lets any page send a POST anywhere, and names that page's site in ``Origin``. A site may also give its own
    name the address of this machine (DNS rebinding); so without a token the name must be one that always means this
    machine.
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
        check_bearer(
            request.headers.getlist("authorization"), [value_of(settings.admin_token)], "changes", "the admin token"
        )
    elif not settings.allow_changes:
        raise HTTPException(
            403,
            "this server does not let clients change what is served: it listens on more than this machine (or on a "
            "Unix socket), and was started without --admin-token-file",
        )
    elif reason := _not_local(request.scope["headers"]):
        raise HTTPException(
            403,
            f"without a token, only programs on this machine may change what is served, and this request may be "
            f"another's: {reason}; start the server with --admin-token-file, and send the token",
        )


def _is_own(origin: str, host: str, settings: ServerSettings) -> bool:
    try:
        site = urlsplit(origin)
        name = site.hostname or ""
        return site.netloc == host and (settings.admin_token is not None or is_loopback_name(name))
    except ValueError:
        return False


def _not_local(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Why a request that came over loopback may have been sent on another machine; ``None`` without a sign of that.

    A proxy that adds no header and keeps its own name for the server in Host looks like a program of this machine.
    """
    if forwarded := next((name for name, _ in headers if _FORWARDING.fullmatch(name)), None):
        return f"it came through a proxy, which its header {forwarded.decode('latin-1').title()} says"
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        return "it has no header Host that says that it is for this machine"
    host = hosts[0]  # without the port, and without the brackets of an IPv6 address:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if not is_loopback_name(name):
        return f"its header Host is {host!r}, which is not this machine for certain (such as localhost)"
    return None


def is_loopback_name(name: str) -> bool:
    """Whether the host ``name`` means this machine wherever it is resolved (RFC 6761, 6.3)."""
    plain = name.lower().removesuffix(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        address = ip_address(plain.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
