"""Where a model is said to be: at a path of this machine, or at a URL."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlbuffet.errors import RemoteFailed

_CUT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^/]")


def is_remote(place: str) -> bool:
    """Whether ``place`` is a URL that does not lead to a file of this machine."""
    return "://" in place and not _is_file_url(place)


def check_type(place: object) -> None:
    """Raises ``TypeError`` for what can be no place."""
    if not isinstance(place, str | os.PathLike):
        raise TypeError(
            f"a model's place is its path or its URL as text, not {type(place).__name__}; write content that is in "
            "memory to a file with the suffix of its format, such as model.onnx, and name that"
        )


def place_of(given: str | os.PathLike[str]) -> Path | str:
    """A URL with its scheme in lower case; everything else as a path, ``file://`` URLs too.

    Raises `RemoteFailed` for what no longer is a URL, or no path, and ``TypeError`` for what never was one.
    """
    check_type(given)
    text = os.fspath(given)
    if is_remote(text):
        scheme, _, rest = text.partition("://")
        return f"{scheme.lower()}://{rest}"
    if _is_file_url(text):
        return _of_file_url(text)
    path = Path(text)
    if not isinstance(given, str) and _CUT_URL.match(text) and not os.path.lexists(path):
        raise RemoteFailed(text, "pathlib takes a slash from URLs; give it as text")
    return path


def _is_file_url(place: str) -> bool:
    return place[:7].lower() == "file://"


def _of_file_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise RemoteFailed(url, "it names another machine; a path has three slashes before it, as in file:///models")
    return Path(unquote(parts.path))
