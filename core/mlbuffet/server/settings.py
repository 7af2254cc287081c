"""What can be set about a server."""

from dataclasses import dataclass

from mlbuffet.telemetry.worker_slot import WorkerSlot


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
    max_upload: int = 10 * 2**30
    """The size in bytes of a model that a client may upload, as it is sent and as it is unpacked."""
    workers: int = 1
    """How many processes serve on the socket, this one among them; each knows its own models."""
    worker_slot: WorkerSlot | None = None
    """Where this process counts for the others to read; ``None`` where there are none."""
    load_first: bool = False
    """Whether not even a connection is taken until the loading of every model was attempted."""
    allow_changes: bool = False
    """Whether clients may change what is served; without a token everyone who reaches the server may then."""
    admin_token: str | None = None
    """What a client has to show (``Authorization: Bearer``) that changes what is served."""
    read_only: bool = False
    """Whether clients may change nothing, with a token neither."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed."""
    strict_readiness: bool = False
    """Whether the server is ready only while every model is that is to be served."""
    fast_path: bool = True
    """Whether small predictions are answered without the application, where the server is that of `mlbuffet.server`."""
    access_log: bool = False
    """Whether each request is logged, by the logger ``mlbuffet.access``."""
