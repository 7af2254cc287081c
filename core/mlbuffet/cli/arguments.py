"""The values of a command line's arguments: sizes, networks, sites, tokens and preferred runtimes."""

import math
import re
from ipaddress import ip_network
from pathlib import Path

import typer

from mlbuffet import token_file
from mlbuffet.runtime_choice import Preference
from mlbuffet.sizes import bytes_of
from mlbuffet.token_file import TokenFile

_ORIGIN = re.compile(r"https?://[^/?#@\s]+", re.ASCII)  # as browsers send it: without a path


def parse_size(text: str) -> int:
    """The bytes of ``64MiB``, ``10 MB`` or ``1000``. Raises `typer.BadParameter`, as all of these functions."""
    try:
        return bytes_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def check_finite(number: float | None) -> float | None:
    """``number`` as it is: NaN is in no range, and passes for one in each."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no finite number")
    return number


def parse_network(text: str) -> str:
    """``10.0.0.1`` or ``10.0.0.0/8`` as it is."""
    try:
        ip_network(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write an address or a network, such as 10.0.0.1 or 10.0.0.0/8") from None
    return text


def parse_root_path(text: str) -> str:
    """``/models`` as it is, without a slash at its end."""
    path = text.rstrip("/")
    if not path.startswith("/") or not path.isascii() or set(path) & set("?#% "):
        raise typer.BadParameter(f"{text!r} is no path; write one such as /models")
    return path


def parse_origin(text: str) -> str:
    """``https://example.com`` or ``http://localhost:3000`` as it is, or ``*``."""
    if text != "*" and _ORIGIN.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is no site; write one such as https://example.com, or * for every one")
    return text


def parse_preference(text: str) -> Preference:
    """``onnx,mine``: the first that accepts a model is taken, where several do."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise typer.BadParameter(f"{text!r} is no list of runtimes; write their names with commas, such as a,b")
    return Preference(names)


def read_token(path: Path) -> str:
    """The token in a file, its only word."""
    try:
        return token_file.read_token(path)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def watch_token(path: Path | None, flag: str) -> TokenFile | None:
    """The token in a file, if there is one, which is read again when it has changed; ``flag`` gave it."""
    try:
        return None if path is None else TokenFile(path)
    except ValueError as error:
        raise typer.BadParameter(f"{flag}: {error}") from error
