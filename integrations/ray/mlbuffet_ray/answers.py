"""What a replica answers."""

from typing import NamedTuple

from mlbuffet.inference import InferenceResult
from mlbuffet.scheduling import Execution


class Answer(NamedTuple):
    """The result of a request, and how it came about."""

    result: InferenceResult
    execution: Execution | None
    """The run that gave it; its moments are those of the replica's clock."""
    rows: int
    lookup: int | None
    """How many nanoseconds the look-up in the cache took, where there is one."""
    is_first: bool
    """Whether no other answer of the same run has it counted."""
