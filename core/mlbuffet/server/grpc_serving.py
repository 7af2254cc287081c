"""gRPC beside the application, where the settings of a server say so."""

from typing import TYPE_CHECKING

from starlette.datastructures import State

from mlbuffet.inference import InferenceService
from mlbuffet.server.readiness import why_not_ready
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.request_counters import RequestCounters

if TYPE_CHECKING:
    from mlbuffet.grpc.server import GrpcServer


class GrpcServing:
    """Started and stopped on the event loop of the application, with its ``state``."""

    def __init__(
        self, state: State, service: InferenceService, counters: RequestCounters, settings: ServerSettings
    ) -> None:
        self._state = state
        self._service = service
        self._counters = counters
        self._settings = settings
        self._server: GrpcServer | None = None

    async def start_before_loading(self) -> None:
        """Start, unless no connection is to be accepted before the models were loaded."""
        if not self._settings.load_first:
            await self.start()

    async def start(self) -> None:
        """Answer gRPC from now on, where there is an address for it. Raises ``OSError`` where that cannot be had."""
        if self._server is None and self._settings.grpc_address is not None:
            self._server = self._made(self._settings.grpc_address)
            await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and answer those that there are, within so many seconds."""
        if self._server is not None:
            await self._server.stop(seconds)

    def _made(self, address: tuple[str, int]) -> "GrpcServer":
        from mlbuffet.grpc.server import GrpcServer  # a server without gRPC never imports it
        from mlbuffet.server.protocols.open_inference.grpc_service import open_inference
        from mlbuffet.server.protocols.tensorflow_serving.grpc_service import tensorflow_serving

        service, settings = self._service, self._settings

        def is_ready() -> bool:
            return why_not_ready(service, strict=settings.strict_readiness, draining=self._state.draining) is None

        return GrpcServer(
            [open_inference(service, settings, is_ready=is_ready), *tensorflow_serving(service, settings)],
            service,
            address,
            self._counters,
            max_message=settings.max_body,
            access_log=settings.access_log,
            is_ready=is_ready,
            is_draining=lambda: bool(self._state.draining),
        )
