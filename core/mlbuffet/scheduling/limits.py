"""How many calls of a model run at once, and how many may wait."""

import os
from typing import Annotated

import msgspec
from msgspec import Meta


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond both, calls are refused (`Overloaded`)."""

    max_concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="How many calls run at once; else one for each core, at least 2."),
    ] = None
    max_queue: Annotated[int, Meta(ge=0, le=10**6, description="How many more may wait; else they are refused.")] = 512

    @property
    def concurrency(self) -> int:
        """How many calls run at once."""
        return self.max_concurrency or max(2, available_cores())


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
