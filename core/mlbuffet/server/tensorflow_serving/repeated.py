"""Names that a JSON object gives twice, of which decoding keeps the last without a word."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET

from mlbuffet.errors import InvalidInput


def refuse_repeated_names(body: bytes, request: msgspec.Struct, objects: Iterable[Any]) -> None:
    """Raise `InvalidInput` where an object in ``body`` has a name twice.

    ``request`` is what was decoded, with ``objects`` in it. Each name in the text has a colon behind it: with no more
    colons than names, none was dropped, and the text need not be read again.
    """
    names = sum(getattr(request, field) is not UNSET for field in request.__struct_fields__)
    names += sum(len(one) for one in objects if isinstance(one, dict))
    if body.count(b":") > names:
        _read_names(body)


def _read_names(body: bytes) -> None:
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
