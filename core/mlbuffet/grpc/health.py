"""The standard health service, for the server and for each model."""

import asyncio
from collections.abc import Callable, Collection

import grpc
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer
from typing_extensions import override

from mlbuffet.errors import ModelNotFound, ModelNotReady, NotAuthenticated
from mlbuffet.grpc.service import CheckToken, Message
from mlbuffet.inference import InferenceService, ModelSelector

PERIOD = 0.25
"""Seconds after which those who watch a state that has changed are told."""
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Health(HealthServicer):  # type: ignore[misc]  # grpc has no types
    """Names of services, and the empty name, mean the whole server; other names are those of models.

    With ``check_token``, models are shown to those alone who have the token.
    """

    def __init__(
        self,
        services: Collection[str],
        models: InferenceService,
        *,
        is_ready: Callable[[], bool],
        is_draining: Callable[[], bool],
        check_token: CheckToken | None = None,
    ) -> None:
        self._check_token = check_token
        self._services = frozenset(("", *services))
        self._models = models
        self._is_ready = is_ready
        self._is_draining = is_draining
        self._ended = asyncio.Event()

    def end_streams(self) -> None:
        """Tell those who watch a last time, and let their calls end."""
        self._ended.set()

    @override
    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> HealthCheckResponse:
        await self._refuse_without_token(request, context)
        status = self._status(request.service)
        if status is None:
            await context.abort(StatusCode.NOT_FOUND, "there is no service and no model of this name")
        return HealthCheckResponse(status=status)

    async def List(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Versions of grpcio-health-checking before 1.85 lack its messages, and offer no such method."""
        names = set(self._services)
        if self._why_hidden(context) is None:
            names.update(version.model for version in self._models.versions())
        statuses = {name: self._status(name) for name in names}
        return health_pb2.HealthListResponse(
            statuses={name: HealthCheckResponse(status=one) for name, one in statuses.items() if one is not None}
        )

    @override
    async def Watch(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        await self._refuse_without_token(request, context)
        shown: int | None = None
        while True:
            is_last = self._ended.is_set()
            status = self._status(request.service) or HealthCheckResponse.SERVICE_UNKNOWN
            if status != shown:
                shown = status
                await context.write(HealthCheckResponse(status=status))
            if is_last:
                return
            try:
                async with asyncio.timeout(PERIOD):
                    await self._ended.wait()
            except TimeoutError:
                pass

    async def _refuse_without_token(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        if request.service not in self._services and (reason := self._why_hidden(context)):
            await context.abort(StatusCode.UNAUTHENTICATED, reason)

    def _why_hidden(self, context: grpc.aio.ServicerContext) -> str | None:
        """Why who calls may not know the models; ``None`` where that is allowed."""
        if self._check_token is not None:
            try:
                self._check_token(context.invocation_metadata())
            except NotAuthenticated as error:
                return str(error)
        return None

    def _status(self, name: str) -> int | None:
        """``None`` for a name that nothing has."""
        if name in self._services:
            return int(SERVING if self._is_ready() else NOT_SERVING)
        try:
            self._models.check_ready(ModelSelector(name))
        except ModelNotFound:
            return None
        except ModelNotReady:
            return int(NOT_SERVING)
        return int(NOT_SERVING if self._is_draining() else SERVING)
