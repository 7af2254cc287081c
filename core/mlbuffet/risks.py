"""What an artifact can do besides computing its outputs."""

from typing import Literal, NamedTuple, TypeAlias

Capability: TypeAlias = Literal["code", "files", "network"]
"""To run code of its maker, to read or write files that are not its own, to reach other machines."""


class Risk(NamedTuple):
    """One thing that an artifact can do, as its file says; nothing of it was run."""

    capability: Capability
    text: str
    """What in the file does it, as part of a sentence, without a path of this machine."""
