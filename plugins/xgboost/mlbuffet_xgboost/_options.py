"""The options of the runtime."""

from typing import Annotated

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    nthread: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Threads of one call; 0: one for each core."""
    missing: float = float("nan")
    """What means a missing value in the inputs, beside NaN."""
    labels: tuple[str, ...] = ()
    """The names of the classes, which the file does not hold."""
