"""The endpoints below /v1."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.inference import InferenceService
from mlbuffet.server.http.errors import json_response
from mlbuffet.server.http.prediction import PredictionEndpoint
from mlbuffet.server.protocols.tensorflow_serving import codec
from mlbuffet.server.protocols.tensorflow_serving.addresses import (
    AnyCaseRoute,
    find_versions,
    malformed,
    no_servable,
    selector_of,
)
from mlbuffet.server.protocols.tensorflow_serving.codec import ServingCodec
from mlbuffet.server.protocols.tensorflow_serving.metadata import model_metadata, model_status
from mlbuffet.server.settings import ServerSettings


def routes(endpoints: "TensorFlowServing") -> list[Route]:
    """The routes of the protocol."""
    found: list[Route] = []
    for address in ("", "/versions/{version}", "/labels/{label}"):
        model = "/v1/models/{model}" + address
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
    """The endpoints, over one service."""

    def __init__(self, service: InferenceService, settings: ServerSettings) -> None:
        self._service = service
        self.codec = ServingCodec(codec.predict)
        self._predict = PredictionEndpoint(service, self.codec, settings)
        self._classify = PredictionEndpoint(service, ServingCodec(codec.classify), settings)
        self._regress = PredictionEndpoint(service, ServingCodec(codec.regress), settings)

    async def predict(self, request: Request) -> Response:
        """Run a model on the rows or the columns of the body."""
        return await self._predict.answer(request)

    async def classify(self, request: Request) -> Response:
        """The classes of the examples of the body, with their scores."""
        return await self._classify.answer(request)

    async def regress(self, request: Request) -> Response:
        """The values of the examples of the body."""
        return await self._regress.answer(request)

    async def metadata(self, request: Request) -> Response:
        """The signatures of a model."""
        selector = selector_of(request)
        try:
            return json_response(model_metadata(await self._service.describe(selector)))
        except ModelNotFound:
            raise no_servable(selector) from None

    async def status(self, request: Request) -> Response:
        """The states of all versions of a model, or of the one named."""
        return json_response(model_status(find_versions(self._service, selector_of(request))))

    async def nameless(self, request: Request) -> Response:
        """The protocol has no list of models."""
        raise InvalidInput("Missing model name in request.")

    async def malformed(self, request: Request) -> Response:
        """Whatever else is asked for below /v1."""
        raise malformed(request)
