"""The options of the runtime."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from mlbuffet.errors import InvalidOptions


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen when a model is loaded."""

    device: Annotated[str, msgspec.Meta(pattern=r"^(\w+(:\d+)?)?$")] = ""
    """A platform with the number of a device, such as cpu or gpu:1; empty: the first of the file's that is here."""
    compile_sizes: tuple[dict[str, Annotated[int, msgspec.Meta(ge=1)]], ...] = ()
    """Sizes of the symbolic dimensions, for which the model is compiled when it is loaded."""
    max_compiled: Annotated[int, msgspec.Meta(ge=1)] = 16
    """For how many sizes, the latest that were called, what was compiled is kept."""


VALID_OPTIONS = Options.__struct_fields__


def parse_options(options: Mapping[str, Any]) -> Options:
    """``options`` as `Options`, or `InvalidOptions`."""
    if unknown := [name for name in options if name not in VALID_OPTIONS]:
        raise InvalidOptions(f"there is no option {', '.join(map(repr, unknown))}", VALID_OPTIONS)
    try:
        return msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise InvalidOptions(str(error), VALID_OPTIONS) from None
