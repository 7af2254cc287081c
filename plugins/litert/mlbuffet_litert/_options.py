"""The options of the runtime."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from mlbuffet.errors import InvalidOptions


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded."""

    num_threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Threads of one call."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None
