"""Options of a runtime, as people write them on a command line."""

from collections.abc import Iterable
from typing import Any

import typer
from msgspec import DecodeError
from msgspec.json import decode


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """``threads=2`` and ``tags=["serve"]`` by name, with values as JSON reads them, and text where it does not."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"--option {text!r} is not NAME=VALUE, such as intra_op_threads=2")
        try:
            options[name] = decode(value)
        except DecodeError:
            options[name] = value
    return options
