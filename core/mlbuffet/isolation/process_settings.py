"""The processes of a model: the table ``[process]`` of a ``model.toml``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mlbuffet.scheduling.limit_settings import available_cores
from mlbuffet.sizes import bytes_of

LONGEST_DELAY = 60.0
"""Seconds after which a process that has crashed often is started anew."""


class ProcessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model runs in processes of its own."""

    instances: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["cores"],
        Meta(description='How many processes; "cores": one for each core that it may use.'),
    ] = 1
    memory: Annotated[
        str | None,
        Meta(description="How much memory each may allocate, such as 2GiB; else as much as there is."),
    ] = None
    restart: Annotated[bool, Meta(description="Whether a process that has crashed is started anew.")] = True
    cores: Annotated[
        Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)] | None,
        Meta(description="The cores that they may use, by number; else all."),
    ] = None
    confined: Annotated[
        bool, Meta(description="Whether they are kept from the network, and from writing other than temporary files.")
    ] = True
    timeout: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Seconds after which a call ends its process; else those of --request-timeout."),
    ] = None

    def __post_init__(self) -> None:
        _ = self.memory_bytes  # what is no size is refused here

    @property
    def count(self) -> int:
        """How many processes."""
        if self.instances == "cores":
            return len(self.cores) if self.cores else available_cores()
        return self.instances

    @property
    def memory_bytes(self) -> int | None:
        """What each may allocate."""
        return None if self.memory is None else bytes_of(self.memory)


@dataclass(frozen=True, kw_only=True, slots=True)
class Isolation:
    """Which models of a repository run in processes of their own, and what holds for all of them."""

    of_all: bool = False
    """Whether those do whose ``model.toml`` says nothing of it."""
    timeout: float | None = None
    """Seconds after which a call ends its process, where ``model.toml`` does not say."""
    longest_delay: float = LONGEST_DELAY
    """How many seconds a process that has crashed waits at most to be started anew."""

    def settings(self, own: ProcessSettings | None) -> ProcessSettings | None:
        """Those of a model whose ``model.toml`` says ``own``; ``None`` for one that runs in this process."""
        chosen = own or (ProcessSettings() if self.of_all else None)
        if chosen is None or chosen.timeout is not None:
            return chosen
        return msgspec.structs.replace(chosen, timeout=self.timeout)
