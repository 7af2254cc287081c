"""The endpoints below /v1."""

import re
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.inference import InferenceService, ModelSelector, VersionStatus
from mlbuffet.server.http.errors import json_response
from mlbuffet.server.http.prediction import PredictionEndpoint
from mlbuffet.server.protocols.tensorflow_serving import prediction as codec
from mlbuffet.server.protocols.tensorflow_serving.metadata import model_metadata, model_status
from mlbuffet.server.protocols.tensorflow_serving.prediction import ServingCodec
from mlbuffet.server.protocols.tensorflow_serving.selection import find_versions
from mlbuffet.server.settings import ServerSettings


class AnyCaseRoute(Route):
    """A route whose path matches in lower and upper case; the names in it keep theirs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


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
        selector = self.codec.selector(request)
        try:
            return json_response(model_metadata(await self._service.describe(selector)))
        except ModelNotFound as error:
            raise self.codec.not_found(selector, error) from None

    async def status(self, request: Request) -> Response:
        """The states of all versions of a model, or of the one named."""
        return json_response(model_status(self._find_versions(self.codec.selector(request))))

    async def nameless(self, request: Request) -> Response:
        """The protocol has no list of models."""
        raise InvalidInput("Missing model name in request.")

    async def malformed(self, request: Request) -> Response:
        """Whatever else is asked for below /v1."""
        raise codec.malformed(request)

    def _find_versions(self, selector: ModelSelector) -> Sequence[VersionStatus]:
        """The version that ``selector`` names, or all versions, the newest first."""
        if found := find_versions(self._service, selector):
            return found
        latest = selector.version is None or selector.or_default
        wanted = (
            f"any versions of model {selector.model}"
            if latest
            else (f"version {selector.version} of model {selector.model}")
        )
        raise HTTPException(404, f"Could not find {wanted}")
