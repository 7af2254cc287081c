"""What can be set about a server."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """What a server takes, and how long it waits."""

    max_body: int = 64 * 2**20
    """The size in bytes of a request's body, before and after it is decompressed, that is still read."""
    body_seconds: float = 60.0
    """How long the whole body of a request may take to arrive."""
    body_idle_seconds: float = 15.0
    """How long nothing may arrive of a body that is not whole."""
    request_timeout: float | None = None
    """How many seconds a model may take to answer; ``None``: as long as it needs."""
    grace: float = 30.0
    """How many seconds after SIGTERM the process has ended at the latest."""
    allow_changes: bool = False
    """Whether clients may load and unload models; everyone who reaches the server may then."""
    access_log: bool = False
    """Whether each request is logged, by the logger ``mlbuffet.access``."""
