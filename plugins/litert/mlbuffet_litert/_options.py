"""The options of the runtime."""

from typing import Annotated

import msgspec


class Options(msgspec.Struct, frozen=True):
    """What may be chosen when a model is loaded."""

    num_threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Threads of one call."""
