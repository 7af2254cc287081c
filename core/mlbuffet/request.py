"""What a runtime may know about a call besides its inputs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlbuffet.parameters import Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call of a model, which may be that of several requests in one batch."""

    model: str
    """The name of the model, as clients know it; of one that a program loaded by itself, that of its file or folder."""
    version: int | None
    """``None`` for an artifact that a program loaded by itself."""
    outputs: tuple[str, ...]
    """The outputs that are wanted; of a batch, all that any of its requests wants."""
    ids: tuple[str, ...] = ()
    """The ids of the requests, which the server's log has too; empty for the calls of a program."""
    deadline: float | None = None
    """Until when an answer is of use, in the seconds of `time.monotonic`; of a batch, until when the last is."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """The declared parameters, with defaults. Requests that share a batch have the same."""

    @property
    def seconds_left(self) -> float | None:
        """How long until the deadline; negative once it is over, ``None`` where there is none."""
        return None if self.deadline is None else self.deadline - time.monotonic()
