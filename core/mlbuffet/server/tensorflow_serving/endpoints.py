"""The endpoints below /v1."""

from collections.abc import Callable, Mapping, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, MLBuffetError
from mlbuffet.repository import Handle, ModelRepository, ModelVersion
from mlbuffet.server.at_once import Answer, Prompt, Unwritten, take_outcome
from mlbuffet.server.body import compress, read_body
from mlbuffet.server.coding import LARGE, code
from mlbuffet.server.exchange import concerns
from mlbuffet.server.prediction import acquire, check_room, predict, within
from mlbuffet.server.settings import ServerSettings
from mlbuffet.server.tensorflow_serving import inference
from mlbuffet.server.tensorflow_serving.addresses import (
    MODEL_ADDRESSES,
    AnyCaseRoute,
    find_version,
    find_versions,
    malformed,
)
from mlbuffet.server.tensorflow_serving.inference import Inference
from mlbuffet.server.tensorflow_serving.metadata import model_metadata, model_status
from mlbuffet.tensors import Signatures, rough_size


def routes(endpoints: "TensorFlowServing") -> list[Route]:
    """The routes of the protocol."""
    found: list[Route] = []
    for model in MODEL_ADDRESSES:
        found += [
            AnyCaseRoute(f"{model}:predict", endpoints.predict, methods=["POST"]),
            AnyCaseRoute(f"{model}:classify", endpoints.classify, methods=["POST"]),
            AnyCaseRoute(f"{model}:regress", endpoints.regress, methods=["POST"]),
            AnyCaseRoute(f"{model}/metadata", endpoints.metadata),
            AnyCaseRoute(model, endpoints.status),
        ]
    return [
        *found,
        AnyCaseRoute("/v1/models", endpoints.nameless, include_in_schema=False),
        AnyCaseRoute("/v1", endpoints.malformed, methods=["GET", "POST"], include_in_schema=False),
        AnyCaseRoute("/v1/{rest:path}", endpoints.malformed, methods=["GET", "POST"], include_in_schema=False),
    ]


class TensorFlowServing:
    """The endpoints, over one repository."""

    def __init__(self, repository: ModelRepository, settings: ServerSettings) -> None:
        self._repository = repository
        self._settings = settings

    def prompts(self, routes: Sequence[Route]) -> list[Prompt]:
        """Those of ``routes`` that can be answered at once."""
        return [
            Prompt("v1", one.path_regex, self._version, check_room, _predict_at_once)
            for one in routes
            if one.name == "predict"
        ]

    async def predict(self, request: Request) -> Response:
        """Run a model on the rows or the columns of the body."""
        return await self._answer(request, inference.predict)

    async def classify(self, request: Request) -> Response:
        """The classes of the examples of the body, with their scores."""
        return await self._answer(request, inference.classify)

    async def regress(self, request: Request) -> Response:
        """The values of the examples of the body."""
        return await self._answer(request, inference.regress)

    async def metadata(self, request: Request) -> Response:
        """The signatures of a model."""
        with await acquire(self._repository, lambda: find_version(self._repository, request)) as handle:
            return _json(model_metadata(handle.version.name, handle.version.version, handle.model.signatures))

    async def status(self, request: Request) -> Response:
        """The states of all versions of a model, or of the one named."""
        return _json(model_status(find_versions(self._repository, request)))

    async def nameless(self, request: Request) -> Response:
        """The protocol has no list of models."""
        raise InvalidInput("Missing model name in request.")

    async def malformed(self, request: Request) -> Response:
        """Whatever else is asked for below /v1."""
        raise malformed(request)

    async def _answer(self, request: Request, decode: Callable[[bytes, Signatures], Inference]) -> Response:
        """The outputs of the call that ``decode`` finds in the body."""
        # an address that leads nowhere is refused before the body is read
        found = concerns(self._version(request))
        if outcome := await take_outcome(request):
            return outcome
        check_room(found)
        body = await read_body(request, self._settings)
        with await acquire(self._repository, lambda: self._version(request), found) as handle:
            check_room(handle.version)
            return await within(self._settings.request_timeout, _answered(request, body, handle, decode))

    def _version(self, request: Request) -> ModelVersion:
        return find_version(self._repository, request)


def _predict_at_once(handle: Handle, request: Request, body: bytes) -> Answer | Unwritten | None:
    try:
        asked = inference.predict(body, handle.model.signatures)
    except MLBuffetError:  # the application says so too
        return None
    prediction = handle.scheduler.run_now(asked.call)
    if prediction is None:
        return None
    outputs = prediction.outputs
    if (size := rough_size(outputs)) >= LARGE:
        return Unwritten(size, lambda: _encoded(asked.encode(outputs), request))
    return Answer(asked.encode(outputs))


async def _answered(
    request: Request, body: bytes, handle: Handle, decode: Callable[[bytes, Signatures], Inference]
) -> Response:
    inference = await code(len(body), lambda: decode(body, handle.model.signatures))
    outputs = (await predict(handle, inference.call, request.receive)).outputs
    return await code(rough_size(outputs), lambda: _encoded(inference.encode(outputs), request))


def _json(content: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _encoded(body: bytes, request: Request) -> Response:
    return compress(Response(body, media_type="application/json"), request)
