"""From the path of a call to the handler of its method."""

from collections.abc import Iterable
from typing import NoReturn

import grpc
from grpc import StatusCode
from typing_extensions import override

from mlbuffet.errors import NotAuthenticated
from mlbuffet.grpc.arrivals import Arrivals
from mlbuffet.grpc.call_log import CallLog
from mlbuffet.grpc.handlers import STOPPED, StreamHandler, UnaryHandler, abort, begin_call
from mlbuffet.grpc.service import CheckToken, Service, StreamMethod
from mlbuffet.grpc.status import Status, status_of


class Routes(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The methods of ``services``; all others are UNIMPLEMENTED, with a sentence.

    With ``check_token``, calls without a token reach only the methods that are open. A message must arrive within
    ``message_seconds``.
    """

    def __init__(
        self, services: Iterable[Service], log: CallLog, check_token: CheckToken | None, message_seconds: float
    ) -> None:
        self._log = log
        self._arrivals = Arrivals(message_seconds)
        self._check_token = check_token
        self._open: set[str] = set()
        self._ending = False
        self._services = {service.name: service for service in services}
        self._others: list[grpc.GenericRpcHandler] = []
        self._streams: list[StreamHandler] = []
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}
        for service in self._services.values():
            self._add_service(service)

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """What gRPC calls."""
        path = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None:
            for other in self._others:
                if (found := other.service(handler_call_details)) is not None:
                    return found
        if self._ending:
            return self._refusing("/*", "other", STOPPED)
        if self._check_token is not None and path not in self._open:
            try:
                self._check_token(handler_call_details.invocation_metadata)
            except NotAuthenticated as error:
                return self._unauthenticated(path, status_of(error, path))
        return handler or self._unknown(path)

    def add(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Leave what ``handlers`` answer to them, even without a token and while the server ends."""
        self._others += handlers

    def end(self) -> None:
        """Refuse new calls, and read no more messages of streams, which end when those that were read are answered."""
        self._ending = True
        for stream in self._streams:
            stream.end_streams()

    def _add_service(self, service: Service) -> None:
        for name, method in service.methods.items():
            path = f"/{service.name}/{name}"
            if isinstance(method, StreamMethod):
                self._streams.append(StreamHandler(path, service.protocol, method, self._log))
                self._handlers[path] = grpc.stream_stream_rpc_method_handler(self._streams[-1].answer)
            else:
                if method.is_open:
                    self._open.add(path)
                unary = UnaryHandler(path, service.protocol, method, self._log, self._arrivals)
                self._handlers[path] = grpc.stream_unary_rpc_method_handler(unary.answer)

    def _unauthenticated(self, path: str, status: Status) -> grpc.RpcMethodHandler:
        service = self._services.get(path[1:].rpartition("/")[0])
        if service is None:
            return self._refusing("/*", "other", status)
        return self._refusing(path if path in self._handlers else f"/{service.name}/*", service.protocol, status)

    def _unknown(self, path: str) -> grpc.RpcMethodHandler:
        name, _, method = path.removeprefix("/").rpartition("/")
        service = self._services.get(name)
        if service is None:
            shown, protocol = "/*", "other"
            sentence = f"this server has no service {name[:100]!r}; it has {', '.join(self._services)}"
        else:
            shown, protocol = f"/{name}/*", service.protocol
            sentence = service.not_offered.get(method, f"{name} has no method {method[:100]!r} on this server")

        return self._refusing(shown, protocol, Status(StatusCode.UNIMPLEMENTED, sentence))

    def _refusing(self, shown: str, protocol: str, status: Status) -> grpc.RpcMethodHandler:
        async def refuse(_: object, context: grpc.aio.ServicerContext) -> NoReturn:
            call = begin_call(protocol, context)
            self._log.note(call, shown, status.code, 0.0)
            await abort(context, call, status)

        return grpc.stream_stream_rpc_method_handler(refuse)  # which takes calls of every kind
