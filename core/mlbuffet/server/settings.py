"""The settings of a server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbuffet.repository.upload_policy import UploadPolicy
from mlbuffet.telemetry.counter_table import WorkerSlot
from mlbuffet.token_file import Token


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """What a server accepts, and how long it waits."""

    max_body: int = 64 * 2**20
    """The largest body of a request in bytes, before and after it is decompressed."""
    body_seconds: float = 60.0
    """Seconds in which the whole body of a request must arrive."""
    body_idle_seconds: float = 15.0
    """Seconds within which the next piece of a body must arrive."""
    request_timeout: float | None = None
    """Seconds after which a prediction fails, from its call on; ``None``: no limit."""
    grace: float = 30.0
    """Seconds after SIGTERM in which the process ends."""
    drain: float | None = None
    """Seconds after SIGTERM in which connections are accepted still, while the server is not ready; part of ``grace``.

    ``None``: one second, or a quarter of ``grace`` where that is less.
    """
    ssl_certfile: Path | None = None
    """The certificate chain of the server in PEM; ``None``: no TLS."""
    ssl_keyfile: Path | None = None
    """The key; ``None``: it is in ``ssl_certfile``."""
    ssl_ca_certs: Path | None = None
    """Certificates in PEM, by one of which that of each client must be signed; ``None``: clients show none."""
    root_path: str = ""
    """The path at which a proxy has the server, and which it takes off the paths of requests."""
    max_upload: int = 10 * 2**30
    """The largest model in bytes that a client may upload, as it is sent and as it is unpacked."""
    workers: int = 1
    """How many processes serve on the socket, including this one; each loads its own models."""
    worker_slot: WorkerSlot | None = None
    """Where this process counts for the others to read; ``None`` for a single process."""
    load_first: bool = False
    """Whether no connection is accepted until the loading of every model was attempted."""
    allow_changes: bool = False
    """Whether clients may change what is served; without a token every client then may."""
    admin_token: Token | None = None
    """The token (``Authorization: Bearer``) that a client needs to change what is served; it opens the models too."""
    predict_token: Token | None = None
    """The token that a client needs for whatever has to do with models; ``None``: it needs none."""
    cors_origins: Sequence[str] = ()
    """Sites whose pages may read what the server answers, such as ``https://example.com``; ``*`` is every site."""
    upload_policy: UploadPolicy | None = None
    """What becomes of uploads that can do more than compute; ``None``: they are refused, but with ``allow_changes``."""
    read_only: bool = False
    """Whether clients may change nothing, not even with a token."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed."""
    strict_readiness: bool = False
    """Whether the server is ready only while every model that is to be served is ready."""
    fast_path: bool = True
    """Whether small predictions bypass the application, where the server is that of `mlbuffet.server`."""
    access_log: bool = False
    """Whether each request is logged, by the logger ``mlbuffet.access``."""
    grpc_address: tuple[str, int] | None = None
    """Host and port at which calls of gRPC are answered too (``mlbuffet[grpc]``); ``None``: nowhere."""

    @property
    def policy_of_uploads(self) -> UploadPolicy:
        """Strict, where none is given, unless programs on this machine may upload what they like."""
        return self.upload_policy or ("warn" if self.allow_changes else "strict")
