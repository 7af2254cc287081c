"""The gRPC server of a process, on the event loop of the HTTP server.

Beside models, nothing here waits for the processor, and models run in the threads of `mlbuffet.scheduling` where they
are not quick. So one event loop is enough for both servers, and a call need not be handed from a thread to the loop and
back.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from mlbuffet.grpc.call_log import CallLog
from mlbuffet.grpc.credentials import Pem, server_credentials
from mlbuffet.grpc.departed_clients import quiet_departed_clients
from mlbuffet.grpc.health import Health
from mlbuffet.grpc.messages.pool import POOL
from mlbuffet.grpc.routing import Routes
from mlbuffet.grpc.service import CheckToken, Service
from mlbuffet.inference import InferenceService
from mlbuffet.telemetry.request_counters import RequestCounters

_STANDARD = health_pb2, reflection_pb2
REFUSING_SECONDS = 0.1
"""How long calls are refused before the server closes: what has then arrived and was not seen ends as CANCELLED."""
_SHORTEST_PING_MS = 10_000
_PING_MS = 60_000
_PING_TIMEOUT_MS = 20_000
_MOST_CALLS = 1024


class GrpcServer:
    """Answers calls of ``services`` at ``address``, a host and a port; several processes may have one address.

    ``check_token`` is called with the metadata of calls that concern models, and raises `NotAuthenticated`; without
    ``certificates`` there is no TLS. Its methods are called on one event loop.
    """

    def __init__(
        self,
        services: Sequence[Service],
        models: InferenceService,
        address: tuple[str, int],
        counters: RequestCounters,
        *,
        max_message: int,
        message_seconds: float,
        access_log: bool,
        is_ready: Callable[[], bool],
        is_draining: Callable[[], bool],
        check_token: CheckToken | None,
        certificates: Callable[[], Pem] | None,
    ) -> None:
        self._services = services
        self._certificates = certificates
        self._address = address
        self._max_message = max_message
        names = [service.name for service in services if service.methods]
        self._health = Health(names, models, is_ready=is_ready, is_draining=is_draining, check_token=check_token)
        self._routes = Routes(services, CallLog(counters, access_log=access_log), check_token, message_seconds)
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ``OSError`` where the address cannot be had."""
        quiet_departed_clients()
        self._server = server = grpc.aio.server(options=_options(self._max_message))
        standard = _Collected()
        add_HealthServicer_to_server(self._health, standard)
        for module in _STANDARD:
            POOL.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        names = [one.full_name for module in _STANDARD for one in module.DESCRIPTOR.services_by_name.values()]
        names += [service.name for service in self._services if service.methods]
        add_ServerReflectionServicer_to_server(aio.ReflectionServicer(names, POOL), standard)
        self._routes.add(standard.handlers)
        server.add_generic_rpc_handlers((self._routes,))
        host, port = self._address
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._certificates is None:
                server.add_insecure_port(target)
            else:
                server.add_secure_port(target, server_credentials(self._certificates))
        except RuntimeError as error:
            raise OSError(f"cannot listen on port {port} of {host} for gRPC") from error
        await server.start()

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, answer those that there are, and cancel them after so many seconds; once."""
        if self._server is None:
            return
        if self._stopping is None:
            self._health.end_streams()
            self._routes.end()
            self._stopping = asyncio.create_task(self._stop(self._server, seconds))
        await self._stopping

    async def _stop(self, server: grpc.aio.Server, seconds: float) -> None:
        await asyncio.sleep(min(REFUSING_SECONDS, seconds))
        await server.stop(seconds)


class _Collected:
    """Takes the place of a server for those who add a service, and collects their handlers.

    They register each method besides, and for each registered method grpcio renews a callback at every call.
    """

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Not needed."""


def _options(max_message: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),  # so that several processes may listen
        ("grpc.max_receive_message_length", max_message),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _MOST_CALLS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _SHORTEST_PING_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", _PING_MS),  # or calls of clients that are gone would never end
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ]
