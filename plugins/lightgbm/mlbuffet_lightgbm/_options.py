"""The options of the runtime."""

from typing import Annotated

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    num_threads: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Threads of one call; 0: one for each core."""
    labels: tuple[str, ...] = ()
    """The names of the classes, which the file does not hold."""
