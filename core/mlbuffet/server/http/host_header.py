"""The header Host of a request, by RFC 9110 (7.2) and RFC 9112 (3.2)."""

import re
from collections.abc import Iterable

_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._~-]+)?\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?"
)
_LARGEST_PORT = 65535


def host_problem(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> str | None:
    """What is wrong with the Host among ``headers``, whose names are in lower case; ``None`` where it is right."""
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts:
        return None if http_version == "1.0" else "the request has no header Host, which HTTP/1.1 asks for"
    if len(hosts) > 1:
        return f"the request has {len(hosts)} headers Host; send one"
    found = _HOST.fullmatch(hosts[0])
    if found is None or int(found[1] or 0) > _LARGEST_PORT:
        return "the header Host is not a name or an address, with or without a port"
    return None
