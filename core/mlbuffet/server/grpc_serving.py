"""gRPC beside the application, where the settings of a server say so."""

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.datastructures import State

from mlbuffet.inference import InferenceService
from mlbuffet.server.certificates import Pem, WrongCertificates, certificates_of
from mlbuffet.server.model_tokens import ModelTokens
from mlbuffet.server.readiness import why_not_ready
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.request_counters import RequestCounters

if TYPE_CHECKING:
    from mlbuffet.grpc.server import GrpcServer


class GrpcServing:
    """Started and stopped on the event loop of the application, with its ``state``."""

    def __init__(
        self,
        state: State,
        service: InferenceService,
        counters: RequestCounters,
        settings: ServerSettings,
        tokens: ModelTokens | None,
    ) -> None:
        self._state = state
        self._service = service
        self._counters = counters
        self._settings = settings
        self._tokens = tokens
        self._certificates = certificates_of(settings)
        self._pem: Pem | None = None
        self._server: GrpcServer | None = None

    async def start_before_loading(self) -> None:
        """Start, unless no connection is to be accepted before the models were loaded."""
        if not self._settings.load_first:
            await self.start()

    async def start(self) -> None:
        """Answer gRPC from now on, where there is an address for it. Raises ``OSError`` where that cannot be had, and
        `WrongCertificates`.
        """
        if self._server is None and self._settings.grpc_address is not None:
            if self._certificates is not None:
                self._pem = self._certificates.pem()
            self._server = self._made(self._settings.grpc_address)
            await self._server.start()

    def reload_certificates(self) -> None:
        """Read the certificates again; where they are wrong, those before stay, which the server of HTTP logs."""
        if self._certificates is not None:
            with suppress(WrongCertificates):
                self._pem = self._certificates.pem()

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and answer those that there are, within so many seconds."""
        if self._server is not None:
            await self._server.stop(seconds)

    def _made(self, address: tuple[str, int]) -> "GrpcServer":
        from mlbuffet.grpc.server import GrpcServer  # a server without gRPC never imports it
        from mlbuffet.grpc.service import authorization
        from mlbuffet.server.protocols.open_inference.grpc_service import open_inference
        from mlbuffet.server.protocols.tensorflow_serving.grpc_service import tensorflow_serving

        service, settings, tokens = self._service, self._settings, self._tokens

        def is_ready() -> bool:
            return why_not_ready(service, strict=settings.strict_readiness, draining=self._state.draining) is None

        return GrpcServer(
            [open_inference(service, settings, is_ready=is_ready), *tensorflow_serving(service, settings)],
            service,
            address,
            self._counters,
            max_message=settings.max_body,
            message_seconds=settings.body_seconds,
            access_log=settings.access_log,
            is_ready=is_ready,
            is_draining=lambda: bool(self._state.draining),
            check_token=None if tokens is None else (lambda metadata: tokens.check(authorization(metadata))),
            certificates=None if self._pem is None else self._current_pem,
        )

    def _current_pem(self) -> Pem:
        assert self._pem is not None
        return self._pem
