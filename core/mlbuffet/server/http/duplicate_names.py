"""Duplicate names in JSON objects, of which decoding silently keeps the last."""

import json
from collections.abc import Iterable
from typing import Any

from mlbuffet.errors import InvalidInput

_LONG = 1024  # bytes: shorter text is quickly read again


def refuse_duplicate_names(body: bytes, names: int, values: Iterable[bytes]) -> None:
    """Raise `InvalidInput` where an object in ``body`` has a name twice.

    ``names`` is how many were decoded. Each name in the text has a colon behind it: with no more colons than names,
    none was dropped, and the text is not read again. Otherwise it is, without those long ``values`` that have no
    objects in them.
    """
    if body.count(b":") <= names:
        return
    for value in values:
        if len(value) > _LONG and b"{" not in value:
            body = body.replace(value, b"0")
    reader = json.JSONDecoder(object_pairs_hook=_refuse_repeated, parse_int=len, parse_float=len)
    try:
        reader.decode(body.decode())
    except RecursionError:
        raise InvalidInput("the text is not valid JSON: it is nested too deep") from None
    except json.JSONDecodeError as error:  # in members that were skipped, where msgspec lets more through
        raise InvalidInput(f"the text is not valid JSON: {error}") from None


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"the name {twice!r} is given twice in one object")
    return members
