"""How many processes of a cluster serve one model, and what each takes of it."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Replicas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[replicas]`` of a model, for clusters alone: one process or several serve it, and no other."""

    min: Annotated[int, Meta(ge=1, le=10_000, description="How many there are at least.")] = 1
    max: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="How many there are at most, as the load wants; else as many as at least."),
    ] = None
    target: Annotated[
        float, Meta(gt=0, le=1_000_000, description="How many calls each is to have under way; more add replicas.")
    ] = 2.0
    num_cpus: Annotated[float, Meta(ge=0, description="Cores that each reserves; a part of one is 0.5.")] = 1.0
    num_gpus: Annotated[float, Meta(ge=0, description="GPUs that each reserves.")] = 0.0
    memory: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Bytes of memory that each reserves.")] = None

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for fewer at most than at least."""
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max}, and min {self.min}; max is at least min")
