"""A prediction over gRPC in any protocol: message, call, answer."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from msgspec.structs import replace

from mlbuffet.errors import DeadlineExceeded, ModelNotFound, Overloaded
from mlbuffet.grpc.service import Call, Message
from mlbuffet.inference import Deadline, InferenceRequest, InferenceResult, InferenceService, ModelSelector
from mlbuffet.inference.deadline import within
from mlbuffet.inference.offload import LARGE, offload
from mlbuffet.tensors import Signatures, rough_size

Decoded: TypeAlias = tuple[InferenceRequest, Callable[[InferenceResult], Message]]
"""The decoded request, and the encoder of its result, which raises `InvalidInput` for what cannot be sent as wanted."""


class MessageCodec(ABC):
    """A protocol's messages of predictions."""

    has_statistics = False
    """Whether `InferenceService.statistics` count its requests."""

    @abstractmethod
    def selector(self, message: Message) -> ModelSelector:
        """The model that a request is for. Raises `InvalidInput`."""

    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        """What is raised where there is no such model or version."""
        return error

    @abstractmethod
    def size_to_decode(self, message: Message) -> int:
        """About how many bytes `decode` reads one by one."""

    @abstractmethod
    def decode(self, message: Message, selector: ModelSelector, signatures: Signatures) -> Decoded:
        """A request of a model with ``signatures``. Raises `InvalidInput`."""


class Prediction:
    """Answers the requests of one codec; ``request_timeout`` is how many seconds a model may take."""

    def __init__(self, service: InferenceService, codec: MessageCodec, request_timeout: float | None) -> None:
        self._service = service
        self._codec = codec
        self._request_timeout = request_timeout

    async def answer(self, call: Call, message: Message) -> Message:
        """The prediction. Raises `MLBuffetError`."""
        codec, context = self._codec, call.context
        selector = codec.selector(message)
        try:
            served = self._service.serve_now(selector, counted=codec.has_statistics)
            if served is None:
                context.version = self._service.admit(selector, counted=codec.has_statistics)
                served = await self._service.serve(selector, counted=codec.has_statistics)
        except ModelNotFound as error:
            raise codec.not_found(selector, error) from None
        except Overloaded as error:
            context.version = error.model, error.version
            raise
        with served:
            context.version = served.model, served.version
            if call.size < LARGE:
                request, encode = codec.decode(message, selector, served.signatures)
            else:
                decode = partial(codec.decode, message, selector, served.signatures)
                request, encode = await offload(codec.size_to_decode(message), decode)
            if call.deadline is not None and call.deadline.at <= time.monotonic():
                raise DeadlineExceeded(call.deadline.seconds)
            result = served.infer_now(request)  # which has no use for a deadline
            if result is None:
                deadline = self._deadline(call.deadline)
                request = replace(request, id=context.request_id.decode(), deadline=deadline)
                result = await within(deadline, served.infer(request))
            size = rough_size(result.outputs)
            return encode(result) if size < LARGE else await offload(size, partial(encode, result))

    def _deadline(self, of_client: Deadline | None) -> Deadline | None:
        """The client's or the server's, whichever comes first."""
        seconds = self._request_timeout
        if seconds is None:
            return of_client
        of_server = Deadline.after(seconds)
        return of_server if of_client is None or of_server.at < of_client.at else of_client
