"""The options of the runtime."""

from typing import Annotated

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    device: Annotated[str, msgspec.Meta(pattern=r"^(\w+(:\d+)?)?$")] = ""
    """A platform with the number of a device, such as cpu or gpu:1; empty: the first of the file's that is here."""
    compile_sizes: tuple[dict[str, Annotated[int, msgspec.Meta(ge=1)]], ...] = ()
    """Sizes of the symbolic dimensions, for which the model is compiled when it is loaded."""
    max_compiled: Annotated[int, msgspec.Meta(ge=1)] = 16
    """For how many sizes, the latest that were called, what was compiled is kept."""
