"""How a front answers the calls of gRPC that Ray Serve's proxy passes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from grpc import StatusCode

from mlbuffet.errors import NotAuthenticated
from mlbuffet.grpc.call_log import CallLog
from mlbuffet.grpc.handlers import MOST_UNANSWERED, MethodHandler
from mlbuffet.grpc.service import Call, Encoded, Method, StreamMethod, authorization
from mlbuffet.grpc.status import Status, status_of
from mlbuffet.inference import InferenceService
from mlbuffet.server.model_tokens import ModelTokens
from mlbuffet.server.protocols.open_inference.grpc_service import open_inference
from mlbuffet.server.protocols.tensorflow_serving.grpc_service import tensorflow_serving
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.request_context import REQUEST_ID, begin
from mlbuffet.telemetry.request_counters import RequestCounters


class GrpcCalls:
    """The methods of all services, each answered, counted and logged as a server of gRPC does.

    ``is_ready`` is whether the server is to get requests.
    """

    def __init__(
        self,
        service: InferenceService,
        settings: ServerSettings,
        counters: RequestCounters,
        is_ready: Callable[[], bool],
    ) -> None:
        services = [open_inference(service, settings, is_ready=is_ready), *tensorflow_serving(service, settings)]
        log = CallLog(counters, access_log=settings.access_log)
        self._services = {one.name: one for one in services}
        self._handlers = {
            (path := f"/{one.name}/{name}"): MethodHandler(path, one.protocol, method, log)
            for one in services
            for name, method in one.methods.items()
        }
        self._tokens = None if settings.predict_token is None else ModelTokens(settings)

    async def answer(self, path: str, body: bytes, context: Any) -> Encoded:
        """The answer to one message; ``context`` is Ray Serve's, to which an error is told."""
        answer = await self._answered(path, body, context)
        if isinstance(answer, Status):
            context.set_code(answer.code)
            context.set_details(answer.message)
            return Encoded(b"")
        return Encoded(answer)

    async def answers(self, path: str, bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[Encoded]:
        """The answers to the messages of a stream, in the order in which they are there; so many are read ahead."""
        answered: asyncio.Queue[Encoded | None] = asyncio.Queue()
        room = asyncio.Semaphore(MOST_UNANSWERED)

        async def answer(body: bytes) -> None:
            answered.put_nowait(await self._answer_in_stream(path, body, context))
            room.release()

        async def read() -> None:
            try:
                async with asyncio.TaskGroup() as answering:
                    async for body in bodies:
                        await room.acquire()
                        answering.create_task(answer(body))
            finally:
                answered.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            while (one := await answered.get()) is not None:
                yield one
            await reading
        finally:
            reading.cancel()

    async def _answer_in_stream(self, path: str, body: bytes, context: Any) -> Encoded:
        """An error is an answer of its own."""
        answer = await self._answered(path, body, context)
        if isinstance(answer, Status):
            service, _, name = path[1:].rpartition("/")
            method = self._services[service].methods[name]
            assert isinstance(method, StreamMethod)
            return Encoded(method.refusal(body, answer.message).SerializeToString())
        return Encoded(answer)

    async def _answered(self, path: str, body: bytes, context: Any) -> bytes | Status:
        one = self._services[path[1:].rpartition("/")[0]]
        method = one.methods.get(path.rpartition("/")[2])
        metadata = tuple(context.invocation_metadata())
        ids = [(REQUEST_ID, value.encode()) for key, value in metadata if key == REQUEST_ID.decode()]
        call = Call(begin(one.protocol, ids), metadata, context.peer, None, len(body))
        if self._tokens is not None and not (isinstance(method, Method) and method.is_open):
            try:
                self._tokens.check(authorization(metadata))
            except NotAuthenticated as error:
                return status_of(error, path)
        if method is None:
            return Status(StatusCode.UNIMPLEMENTED, one.not_offered[path.rpartition("/")[2]])
        return await self._handlers[path].answered(call, body)
