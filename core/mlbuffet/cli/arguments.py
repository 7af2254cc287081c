"""The values of a command line's arguments: sizes, networks and tokens."""

import re
from ipaddress import ip_network
from pathlib import Path

import typer

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"([0-9]{1,15})\s?([A-Za-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """The bytes of ``64MiB``, ``10 MB`` or ``1000``. Raises `typer.BadParameter`, as all of these functions."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2].upper() not in _UNITS:
        raise typer.BadParameter(f"{text!r} is no size; write a whole number of bytes, or such as 500KB, 64MiB or 1GiB")
    return int(found[1]) * _UNITS[found[2].upper()]


def parse_network(text: str) -> str:
    """``10.0.0.1`` or ``10.0.0.0/8`` as it is."""
    try:
        ip_network(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write an address or a network, such as 10.0.0.1 or 10.0.0.0/8") from None
    return text


def read_token(path: Path) -> str:
    """The token in a file, its only word."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise typer.BadParameter(f"the token in '{path}' cannot be read: {(reason or str(error)).lower()}") from error
    if not token or not token.isascii() or len(token.split()) != 1:
        raise typer.BadParameter(f"'{path}' must hold a token, such as: openssl rand -hex 32 > '{path}'")
    return token
