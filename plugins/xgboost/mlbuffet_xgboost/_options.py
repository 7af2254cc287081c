"""The options of the runtime."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from mlbuffet.errors import InvalidOptions


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded."""

    nthread: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Threads of one call; 0: one for each core."""
    missing: float = float("nan")
    """What means a missing value in the inputs, beside NaN."""
    labels: tuple[str, ...] = ()
    """The names of the classes, which the file does not hold."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None
