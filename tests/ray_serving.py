"""A cluster of Ray in the place of a server, for tests of protocols: ``MLBUFFET_TEST_SERVE=ray_serving:serve``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx

from mlbuffet import Runtimes
from mlbuffet.runtimes import address_of
from mlbuffet.server import ServerSettings
from mlbuffet.server.embedding import ApplicationOptions
from ray_cluster import HIGHLY_AVAILABLE, STREAMING, ray_cluster
from small_runtimes import small_runtimes
from waiting import wait_for


@contextmanager
def serve(
    path: Path, settings: ServerSettings | None = None, runtimes: Runtimes | None = None, way: str = ""
) -> Iterator[httpx.Client]:
    """What the fixture ``serve`` does; each model has a deployment of its own."""
    options = options_of(settings or ServerSettings(), runtimes or small_runtimes())
    grpc_port = settings.grpc_address[1] if settings is not None and settings.grpc_address is not None else None
    environment = HIGHLY_AVAILABLE if grpc_port is None else STREAMING
    with (
        ray_cluster(grpc_port=grpc_port, environment=environment) as cluster,
        httpx.Client(base_url=cluster.url, timeout=30) as client,
    ):
        cluster.run(path, **options)
        wait_for(lambda: is_ready(client), 120)
        yield client


def options_of(settings: ServerSettings, runtimes: Runtimes) -> dict[str, Any]:
    """The arguments of `mlbuffet_ray.app` for a server with these settings."""
    given = {one.name: getattr(settings, one.name) for one in fields(settings)}
    known = {name: value for name, value in given.items() if name in ApplicationOptions.__annotations__}
    plugins = {one.name: address_of(one.plugin) for one in runtimes}
    return {**known, "runtimes": plugins, "replicas": {"num_cpus": 0}}


def is_ready(client: httpx.Client) -> bool:
    """Whether a front answers that has heard of every model."""
    try:
        return client.get("/v2/health/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
