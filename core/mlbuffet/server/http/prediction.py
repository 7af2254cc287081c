"""A prediction over HTTP in any protocol: body, call, response."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.errors import ModelNotFound, Overloaded
from mlbuffet.inference import Deadline, InferenceRequest, InferenceResult, InferenceService, ModelSelector
from mlbuffet.inference.deadline import within
from mlbuffet.inference.offload import LARGE, offload
from mlbuffet.server.http.body import header, read_body
from mlbuffet.server.http.compression import compress
from mlbuffet.server.http.disconnect import unless_disconnected
from mlbuffet.server.http.request_scope import CONTEXT
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.request_context import RequestContext
from mlbuffet.tensors import Signatures, rough_size

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

JSON: Headers = ((b"content-type", b"application/json"),)
OUTCOME = "mlbuffet.outcome"
"""The key of the `Outcome` in the state of a request that the fast path has handled."""


class Answer(NamedTuple):
    """The response to a prediction."""

    body: bytes
    headers: Headers = JSON
    """With names in lower case."""

    def as_response(self, request: Request) -> Response:
        """The same in an encoding that the client accepts."""
        response = Response(self.body)
        response.raw_headers += self.headers
        return compress(response, header(request, b"accept-encoding"))


Outcome: TypeAlias = Response | Callable[[], Response] | Exception
"""A response, or the encoding of one that is large, which is done in a thread; or an error."""
Decoded: TypeAlias = tuple[InferenceRequest, Callable[[InferenceResult], Answer]]
"""The decoded request, and the encoder of its result, which raises `InvalidInput` for what cannot be sent as wanted."""


class PredictionHead(msgspec.Struct, frozen=True, gc=False):
    """What the path and the headers of a request say."""

    selector: ModelSelector
    padding: int = 0
    """How many bytes to put before the body, so that its buffers are aligned in memory."""
    in_thread: bool = False
    """Whether the body is decoded in a thread even where it is small."""


H = TypeVar("H", bound=PredictionHead)


class PredictionCodec(ABC, Generic[H]):
    """A protocol's encoding of predictions: the head and the body of a request, and the body of the response."""

    protocol: str
    """Its name in metrics."""
    has_statistics = False
    """Whether `InferenceService.statistics` count its requests."""

    @abstractmethod
    def selector(self, request: Request) -> ModelSelector:
        """The model that the path means. Raises `InvalidInput` or `HTTPException`."""

    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        """What is raised where there is no such model or version."""
        return error

    @abstractmethod
    def head(self, request: Request) -> H:
        """What is known before the body is read. Raises what `selector` raises."""

    def size_to_decode(self, head: H, body: bytes) -> int:
        """How many bytes of a large body `decode` reads one by one."""
        return len(body)

    @abstractmethod
    def decode(self, head: H, body: bytes, signatures: Signatures) -> Decoded:
        """``body``, behind its padding, as a request of a model with ``signatures``. Raises `InvalidInput`."""


class PredictionEndpoint:
    """Responds to the requests of one codec."""

    def __init__(self, service: InferenceService, codec: PredictionCodec[Any], settings: ServerSettings) -> None:
        self._service = service
        self._codec = codec
        self._settings = settings

    async def answer(self, request: Request) -> Response:
        """The prediction; for an unknown model, or where the queue is full, the body is not read."""
        codec = self._codec
        context: RequestContext = request.scope[CONTEXT]
        head = codec.head(request)
        try:
            context.version = self._service.admit(head.selector, counted=codec.has_statistics)
            if outcome := await _take_outcome(request):
                return outcome
            body = await read_body(request, self._settings, head.padding)
            served = await self._service.serve(head.selector, counted=codec.has_statistics)
        except ModelNotFound as error:
            raise codec.not_found(head.selector, error) from None
        except Overloaded as error:
            context.version = error.model, error.version
            raise
        with served:
            context.version = served.model, served.version
            seconds = self._settings.request_timeout
            deadline = None if seconds is None else Deadline.after(seconds)
            if len(body) < LARGE and not head.in_thread:
                decoded, encode = codec.decode(head, body, served.signatures)
            else:
                size = LARGE if head.in_thread else codec.size_to_decode(head, body)
                decoded, encode = await offload(size, lambda: codec.decode(head, body, served.signatures))
            decoded = replace(decoded, id=context.request_id.decode(), deadline=deadline)
            result = served.infer_now(decoded)
            if result is None:
                result = await unless_disconnected(within(deadline, served.infer(decoded)), request.receive)
            return await offload(rough_size(result.outputs), lambda: encode(result).as_response(request))


async def _take_outcome(request: Request) -> Response | None:
    """The outcome on the fast path, if the request was tried there; raises what was raised there."""
    outcome: Outcome | None = request.scope.get("state", {}).pop(OUTCOME, None)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome if outcome is None or isinstance(outcome, Response) else await offload(LARGE, outcome)
