"""How calls are batched: the table ``[batching]`` of a ``model.toml``."""

from typing import Annotated

import msgspec
from msgspec import Meta

Rows = Annotated[int, Meta(ge=1, le=65536)]


class Batching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls that wait together run as one, with the rows of all of them."""

    max_size: Annotated[Rows, Meta(description="Rows of a batch; 1 is no batching.")] = 32
    max_delay_ms: Annotated[
        Annotated[float, Meta(ge=0, le=60_000)],
        Meta(description="How long a call waits for others though it could run; 0: not at all."),
    ] = 0
    preferred_sizes: Annotated[
        list[Rows], Meta(description="Batches are filled up to the next of these sizes, with rows that are dropped.")
    ] = []

    def __post_init__(self) -> None:
        if any(size > self.max_size for size in self.preferred_sizes):
            raise ValueError(f"a preferred size is larger than max_size, which is {self.max_size}")

    def padded(self, rows: int) -> int:
        """The size of the batch in which so many rows are run."""
        return min((size for size in self.preferred_sizes if size >= rows), default=rows)
