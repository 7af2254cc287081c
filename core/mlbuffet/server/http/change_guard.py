"""Who may change what is served over HTTP."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

from mlbuffet.errors import NotAuthenticated, NotPermitted
from mlbuffet.server.change_rules import check_caller, check_changeable, why_forwarded
from mlbuffet.server.http.bearer import as_http
from mlbuffet.server.settings import ServerSettings


def check_change(request: Request, settings: ServerSettings) -> None:
    """Raise `HTTPException` where ``request`` may change nothing: 401 for a missing or wrong token, 400 for a malformed
    one; and `NotPermitted` where clients may change nothing, and for a page of another site.

    A browser lets any page send a POST anywhere, and names that page's site in ``Origin``. A site may also give its own
    name the address of this machine (DNS rebinding); so without a token the name must be one that always means this
    machine.
    """
    check_changeable(settings)
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request.headers.get("host", ""), settings):
        raise NotPermitted("a page of another site may not change what is served")
    try:
        check_caller(settings, request.headers.getlist("authorization"), lambda: _not_local(request.scope["headers"]))
    except NotAuthenticated as error:
        raise as_http(error) from None


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
    if reason := why_forwarded(name for name, _ in headers):
        return reason
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
