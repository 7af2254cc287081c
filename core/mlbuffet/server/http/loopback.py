"""Requests that came straight from a program of this machine: through no proxy, and for no other site's name."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

_FORWARDING = re.compile(
    rb"forwarded(-for)?|x-forwarded(-.+)?|x-original-(forwarded-for|host|url|to)|x-rewrite-url|via|cdn-loop|cf-.+"
    rb"|x-(real|remote)-ip|x-remote-addr|x-envoy-.+|x-azure-(clientip|socketip|fdid|ref)|x-appengine-.+"
    rb"|(.+-)?client-?ip"  # X-Client-IP, True-Client-IP, Fastly-Client-IP and their like
)


def not_local(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Why a request that came on loopback may be somebody else's; ``None`` where nothing says so.

    A proxy that adds no header and keeps its own name for the server in Host cannot be told from a program here.
    """
    headers = list(headers)
    if forwarded := next((name for name, _ in headers if _FORWARDING.fullmatch(name)), None):
        return f"it came through a proxy, which its header {forwarded.decode('latin-1').title()} says"
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        return "it has no header Host that says that it is for this machine"
    if not is_loopback_name(_name(hosts[0])):
        return f"its header Host is {hosts[0]!r}, which is not this machine for certain (such as localhost)"
    return None


def is_loopback_name(name: str) -> bool:
    """Whether ``name``, of a site or a host, is this machine whoever resolves it (RFC 6761, 6.3)."""
    plain = name.lower().removesuffix(".")
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        address = ip_address(plain.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _name(host: str) -> str:
    """The host without its port, and an address of IPv6 without brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
