"""How calls of methods are answered: each gets an id, its errors become statuses, and it is counted when it ends."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import NoReturn

import grpc
from grpc import StatusCode

from mlbuffet.grpc.arrivals import Arrivals
from mlbuffet.grpc.call_log import CallLog
from mlbuffet.grpc.service import Call, Method, StreamMethod
from mlbuffet.grpc.status import Status, status_of
from mlbuffet.inference import Deadline
from mlbuffet.telemetry.request_context import REQUEST_ID, begin

MOST_UNANSWERED = 64
"""How many messages of one stream are read before the first of them is answered; they take memory."""
MOST_BYTES = 16 * 2**20
"""Of these messages together, but for one that is larger."""
STOPPED = Status(StatusCode.UNAVAILABLE, "the server is being stopped", 1)
_NO_MESSAGE = Status(StatusCode.INVALID_ARGUMENT, "the call ended before its message did")
_SETTLE_SECONDS = 0.05
"""After which it is known whether gRPC has refused a message itself, or the client is gone: that cancels the call."""
_LATE = Status(StatusCode.DEADLINE_EXCEEDED, "the message of the call did not arrive in time")
_REQUEST_ID = REQUEST_ID.decode()
_PUSHBACK = "grpc-retry-pushback-ms"
"""When to try again, as clients of gRPC that retry by themselves read it."""


def begin_call(protocol: str, context: grpc.aio.ServicerContext, size: int = 0) -> Call:
    """The call that this task handles, with a message of so many bytes."""
    metadata, ids = context.invocation_metadata(), []
    for name, value in metadata:
        if name == _REQUEST_ID:
            ids.append((REQUEST_ID, value.encode()))
    seconds = context.time_remaining()
    return Call(
        begin(protocol, ids), metadata, context.peer, None if seconds is None else Deadline.after(seconds), size
    )


async def abort(context: grpc.aio.ServicerContext, call: Call, status: Status) -> NoReturn:
    """End the call with ``status``: raise what gRPC ends it by."""
    metadata = [(_REQUEST_ID, call.context.request_id.decode())]
    if status.retry_after is not None:
        metadata.append((_PUSHBACK, str(round(status.retry_after * 1000))))
    await context.abort(status.code, status.message, tuple(metadata))
    raise AssertionError("abort raises")


class MethodHandler:
    """One method of a service."""

    def __init__(self, path: str, protocol: str, method: Method | StreamMethod, log: CallLog) -> None:
        self._path = path
        self._protocol = protocol
        self._method = method
        self._log = log

    async def answered(self, call: Call, body: bytes) -> bytes | Status:
        """The answer to a message, or how that failed; either is counted."""
        begun, code = perf_counter(), StatusCode.CANCELLED
        try:
            method = self._method
            answer: bytes = (await method.answer(call, method.read(body))).SerializeToString()
            code = StatusCode.OK
            return answer
        except Exception as error:  # noqa: BLE001  whatever it is, the client gets a status
            status = status_of(error, self._path, call.context.version)
            code = status.code
            return status
        except asyncio.CancelledError:  # by the client, or because its deadline is over
            if call.deadline is not None and call.deadline.at <= time.monotonic():
                code = StatusCode.DEADLINE_EXCEEDED
            raise
        finally:
            self._log.note(call, self._path, code, perf_counter() - begun)


class UnaryHandler(MethodHandler):
    """A method that answers one message, one of the ``arrivals``."""

    _method: Method

    def __init__(self, path: str, protocol: str, method: Method, log: CallLog, arrivals: Arrivals) -> None:
        super().__init__(path, protocol, method, log)
        self._arrivals = arrivals

    async def answer(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        """What gRPC calls, before there is a message: for one that never comes it would answer nothing."""
        try:
            body = await self._arrivals.message(context)
        except TimeoutError:
            await self._refuse(context, _LATE)
        if body is grpc.aio.EOF:
            await asyncio.sleep(_SETTLE_SECONDS)
            await self._refuse(context, _NO_MESSAGE)
        call = begin_call(self._protocol, context, len(body))
        answer = await self.answered(call, body)
        if isinstance(answer, Status):
            await abort(context, call, answer)
        context.set_trailing_metadata(((_REQUEST_ID, call.context.request_id.decode()),))
        return answer

    async def _refuse(self, context: grpc.aio.ServicerContext, status: Status) -> NoReturn:
        call = begin_call(self._protocol, context)
        self._log.note(call, self._path, status.code, 0.0)
        await abort(context, call, status)


class _Unanswered:
    """The messages of one stream that were read, and whose answers were not written yet."""

    def __init__(self) -> None:
        self._count = 0
        self._bytes = 0
        self._changed = asyncio.Event()

    async def add(self, size: int) -> None:
        """Add a message of so many bytes, once there is room for it."""
        while self._count >= MOST_UNANSWERED or (self._count and self._bytes + size > MOST_BYTES):
            self._changed.clear()
            await self._changed.wait()
        self._count += 1
        self._bytes += size

    def remove(self, size: int, _: object) -> None:
        """A message of so many bytes was answered."""
        self._count -= 1
        self._bytes -= size
        self._changed.set()


class StreamHandler(MethodHandler):
    """A method that answers each message of a stream; `end_streams` ends the streams that are open."""

    _method: StreamMethod

    def __init__(self, path: str, protocol: str, method: StreamMethod, log: CallLog) -> None:
        super().__init__(path, protocol, method, log)
        self._readers: set[asyncio.Task[None]] = set()

    def end_streams(self) -> None:
        """Read no more messages; the streams end when those that were read are answered."""
        for reader in list(self._readers):
            reader.cancel()

    async def answer(self, _: object, context: grpc.aio.ServicerContext) -> None:
        """What gRPC calls."""
        async with asyncio.TaskGroup() as answers:
            reader = answers.create_task(self._read(context, answers))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        if reader.cancelled():
            await abort(context, begin_call(self._protocol, context), STOPPED)

    async def _read(self, context: grpc.aio.ServicerContext, answers: asyncio.TaskGroup) -> None:
        unanswered, writing = _Unanswered(), asyncio.Lock()
        while (body := await context.read()) is not grpc.aio.EOF:
            await unanswered.add(len(body))
            answering = answers.create_task(self._answer_one(body, context, writing))
            answering.add_done_callback(partial(unanswered.remove, len(body)))

    async def _answer_one(self, body: bytes, context: grpc.aio.ServicerContext, writing: asyncio.Lock) -> None:
        answer = await self.answered(begin_call(self._protocol, context, len(body)), body)
        if isinstance(answer, Status):
            answer = self._method.refusal(body, answer.message).SerializeToString()
        async with writing:
            with suppress(grpc.aio.BaseError, grpc.aio.UsageError):  # the client is gone; that cancels this task too
                await context.write(answer)
