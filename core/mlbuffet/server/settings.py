"""What can be set about a server."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """``max_body`` is the size in bytes of a request's body, compressed or not, that is still read.

    ``allow_changes`` lets clients load and unload models; whoever reaches the server can do so then.
    """

    max_body: int = 64 * 2**20
    allow_changes: bool = False
