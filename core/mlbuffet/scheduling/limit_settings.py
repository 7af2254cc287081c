"""How many calls of a model run at once, and how many may wait."""

import os
from typing import Annotated

import msgspec
from msgspec import Meta

_QUEUE = 512


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond both, calls are refused (`Overloaded`)."""

    max_concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="How many calls run at once; else one for each core, at least 2."),
    ] = None
    max_queue: Annotated[
        Annotated[int, Meta(ge=0, le=10**6)] | None,
        Meta(description="How many more may wait, else 512; what is beyond is refused."),
    ] = None

    @property
    def concurrency(self) -> int:
        """How many calls run at once."""
        return self.max_concurrency or max(2, available_cores())

    @property
    def queue(self) -> int:
        """How many more may wait."""
        return _QUEUE if self.max_queue is None else self.max_queue

    def completed(self, defaults: "Limits") -> "Limits":
        """These, with what ``defaults`` say where these say nothing."""
        set_here = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **set_here)

    def within(self, concurrency: int | None) -> "Limits":
        """These, with so many calls at once at most: what a runtime says that a model can take."""
        if concurrency is None:
            return self
        fewest = min(concurrency, self.max_concurrency or concurrency)
        return msgspec.structs.replace(self, max_concurrency=fewest)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
