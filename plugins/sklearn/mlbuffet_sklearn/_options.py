"""The options of the runtime."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from mlbuffet.errors import InvalidOptions


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded."""

    trusted: tuple[str, ...] = ()
    """Types and functions that the file may hold besides those that skops trusts, by their full names."""
    dtypes: dict[str, Literal["text", "float64", "float32", "int64", "bool"]] = {}
    """What columns hold of which the model does not say it."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None
