"""The header Host of a request, as RFC 9110 (7.2) and RFC 9112 (3.2) want it."""

import re
from collections.abc import Iterable

_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}(?:%[0-9A-Za-z._~-]+)?\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?"
)
_LARGEST_PORT = 65535


def host_problem(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> str | None:
    """What is wrong with the Host among ``headers``, whose names are in small letters; nothing where it is right."""
    hosts = [value for name, value in headers if name == b"host"]
    match hosts:
        case [host]:
            return None if _is_host(host) else "the header Host is not a name or an address, with or without a port"
        case []:
            return None if http_version == "1.0" else "the request has no header Host, which HTTP/1.1 asks for"
    return f"the request has {len(hosts)} headers Host; send one"


def _is_host(value: bytes) -> bool:
    found = _HOST.fullmatch(value)
    return found is not None and int(found[1] or 0) <= _LARGEST_PORT
