"""A prediction over HTTP in any protocol: body, call, response."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from mlbuffet.errors import ModelNotFound, Overloaded
from mlbuffet.inference import Deadline, InferenceRequest, InferenceResult, InferenceService, ModelSelector
from mlbuffet.inference.deadline import within
from mlbuffet.inference.offload import offload
from mlbuffet.server.http.body import compress, read_body
from mlbuffet.server.http.disconnect import unless_disconnected
from mlbuffet.server.http.request_context import note_version, request_id
from mlbuffet.server.settings import ServerSettings
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
        return compress(response, request)


class Unwritten(NamedTuple):
    """A response that is to be encoded in a thread, because of its size in bytes."""

    size: int
    write: Callable[[], Response]


Outcome: TypeAlias = Response | Unwritten | Exception
Decoded: TypeAlias = tuple[InferenceRequest, Callable[[InferenceResult], Answer]]
"""The decoded request, and the encoder of its result, which raises `InvalidInput` for what cannot be sent as wanted."""


class PredictionCodec(ABC):
    """A protocol's encoding of predictions: the path and the body of a request, and the body of the response."""

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

    def padding(self, request: Request) -> int:
        """How many bytes to put before the body, so that its buffers are aligned in memory."""
        return 0

    def size_to_decode(self, request: Request, body: bytes, padding: int) -> int:
        """How many bytes `decode` reads one by one."""
        return len(body)

    @abstractmethod
    def decode(
        self, request: Request, body: bytes, padding: int, selector: ModelSelector, signatures: Signatures
    ) -> Decoded:
        """``body``, behind its padding, as a request of a model with ``signatures``. Raises `InvalidInput`."""


class PredictionEndpoint:
    """Responds to the requests of one codec."""

    def __init__(self, service: InferenceService, codec: PredictionCodec, settings: ServerSettings) -> None:
        self._service = service
        self._codec = codec
        self._settings = settings

    async def answer(self, request: Request) -> Response:
        """The prediction; for an unknown model, or where the queue is full, the body is not read."""
        codec = self._codec
        selector = codec.selector(request)
        try:
            found = self._service.admit(selector, counted=codec.has_statistics)
            note_version(found.model, found.version)
            if outcome := await _take_outcome(request):
                return outcome
            padding = codec.padding(request)
            body = await read_body(request, self._settings, padding)
            served = await self._service.serve(selector, counted=codec.has_statistics)
        except ModelNotFound as error:
            raise codec.not_found(selector, error) from None
        except Overloaded as error:
            note_version(error.model, error.version)
            raise
        with served:
            note_version(served.model, served.version)
            seconds = self._settings.request_timeout
            deadline = None if seconds is None else Deadline.after(seconds)
            size = codec.size_to_decode(request, body, padding)
            decoded, encode = await offload(
                size, lambda: codec.decode(request, body, padding, selector, served.signatures)
            )
            decoded = replace(decoded, id=request_id(), deadline=deadline)
            result = await unless_disconnected(within(deadline, served.infer(decoded)), request.receive)
            return await offload(rough_size(result.outputs), lambda: encode(result).as_response(request))


async def _take_outcome(request: Request) -> Response | None:
    """The outcome on the fast path, if the request was tried there; raises what was raised there."""
    outcome: Outcome | None = request.scope.get("state", {}).pop(OUTCOME, None)
    if isinstance(outcome, Exception):
        raise outcome
    return await offload(outcome.size, outcome.write) if isinstance(outcome, Unwritten) else outcome
