"""The deployment that clients reach: MLBuffet's own application, in every replica."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ray import serve
from starlette.applications import Starlette

from mlbuffet.inference.gauges import measure, measure_service
from mlbuffet.repository import ModelRepository, Publisher
from mlbuffet.server.application import create_app
from mlbuffet.server.embedding import is_changeable
from mlbuffet.server.readiness import why_not_ready
from mlbuffet.telemetry.worker import Sample, WorkerTelemetry
from mlbuffet_ray.cluster_service import ClusterService
from mlbuffet_ray.grpc_calls import GrpcCalls
from mlbuffet_ray.grpc_methods import GrpcMethods
from mlbuffet_ray.model_host import ModelHost
from mlbuffet_ray.specification import Specification


class Front(GrpcMethods):  # type: ignore[misc]  # which has one method for each of gRPC
    """Answers every protocol for the models of all ``handles``, by name, and for those that have no deployment."""

    async def __init__(self, specification: Specification, handles: Mapping[str, Any], directory: Any) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        self._specification = specification
        runtimes = specification.make_runtimes()
        self._files = ModelRepository(runtimes, specification.repository.preference)
        self._host = ModelHost(
            serve.get_replica_context().replica_id.unique_id,
            specification.places,
            runtimes,
            specification.repository,
            wanted=lambda name: name not in specification.own,
            files=self._files,
        )
        self._telemetry = WorkerTelemetry(self._measure)
        self._service = ClusterService(self._host, self._files, handles, directory, self._telemetry)
        await self._host.start(load_first=False)
        self._following = [
            asyncio.create_task(self._host.report_forever(directory, self._service.own_statistics)),
            asyncio.create_task(self._service.follow_forever()),
        ]
        self.grpc_calls = GrpcCalls(self._service, specification.server, self._telemetry.requests, self._is_ready)
        await self._service.known()

    def __serve_build_asgi_app__(self) -> Starlette:
        """The application, as Ray Serve asks for it."""
        settings = self._specification.server
        return create_app(self._service, settings, self._publisher(), files=self._files, telemetry=self._telemetry)

    def _publisher(self) -> Publisher | None:
        """Through which clients change the models in a folder that all nodes share."""
        catalog = self._host.catalog
        root = catalog.sources.writable if is_changeable(self._specification.server) else None
        if root is None:
            return None
        policy, wait = self._specification.server.policy_of_uploads, self._service.wait_until_loaded
        return Publisher(root, catalog, self._files, policy=policy, wait_until_loaded=wait)

    def _is_ready(self) -> bool:
        strict = self._specification.server.strict_readiness
        return why_not_ready(self._service, strict=strict, draining=False) is None

    def _measure(self) -> Sample:
        """The versions of all models, and the queues and caches of those that the front has itself."""
        there, here = measure_service(self._service), measure(self._host.repository)
        return Sample(there.versions, {**here.gauges, **there.gauges}, here.counters)

    async def __del__(self) -> None:
        """End with the calls under way; Ray Serve awaits it."""
        for one in self._following:
            one.cancel()
        await self._host.stop()
