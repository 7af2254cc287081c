"""The endpoints below /v2."""

from importlib.metadata import version as distribution_version
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput
from mlbuffet.inference import InferenceService, State, VersionStatus
from mlbuffet.json_tensors.text import decode
from mlbuffet.server.http.body import read_body
from mlbuffet.server.http.change_guard import check_change
from mlbuffet.server.http.errors import error_response, json_response
from mlbuffet.server.http.prediction import PredictionEndpoint
from mlbuffet.server.protocols.open_inference import answers
from mlbuffet.server.protocols.open_inference.metadata import model_config, model_metadata
from mlbuffet.server.protocols.open_inference.prediction import OpenInferenceCodec
from mlbuffet.server.protocols.open_inference.statistics import model_stats
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.version_statistics import VersionCounts

_CHANGE_PARAMETER = "unload_dependents"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    f"model_repository({_CHANGE_PARAMETER})",
    "parameters",
    "statistics",
]
"""The extensions of the protocol that are implemented, as server metadata lists them."""


class IndexRequest(msgspec.Struct):
    """The body of a request for the index of the repository; it may be empty."""

    ready: bool | None = None


class ChangeRequest(msgspec.Struct):
    """The body of a request to load or unload a model; it may be empty."""

    parameters: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(extra_json_schema={"properties": {_CHANGE_PARAMETER: {}}, "additionalProperties": False}),
    ] = None


def routes(endpoints: "OpenInference") -> list[Route]:
    """The routes of the protocol."""
    found = [
        Route("/v2", endpoints.server_metadata),
        Route("/v2/", endpoints.server_metadata),
        Route("/v2/health/live", endpoints.live),
        Route("/v2/health/ready", endpoints.ready),
        Route("/v2/models", endpoints.models),
        Route("/v2/models/stats", endpoints.statistics),
        Route("/v2/repository/index", endpoints.index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", endpoints.load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", endpoints.unload, methods=["POST"]),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route(model, endpoints.model_metadata),
            Route(f"{model}/ready", endpoints.model_ready),
            Route(f"{model}/config", endpoints.model_config),
            Route(f"{model}/stats", endpoints.statistics),
            Route(f"{model}/infer", endpoints.infer, methods=["POST"]),
        ]
    return found


class OpenInference:
    """The endpoints, over one service."""

    def __init__(self, service: InferenceService, settings: ServerSettings) -> None:
        self._service = service
        self._settings = settings
        self._server = answers.ServerMetadata(
            name="mlbuffet", version=distribution_version("mlbuffet"), extensions=EXTENSIONS
        )
        self.codec = OpenInferenceCodec()
        self._infer = PredictionEndpoint(service, self.codec, settings)

    async def server_metadata(self, request: Request) -> Response:
        """Name, version and extensions of the server."""
        return json_response(self._server)

    async def live(self, request: Request) -> Response:
        """200 as soon as the server answers at all."""
        return json_response(answers.Live(live=True))

    async def ready(self, request: Request) -> Response:
        """200 once the loading of every model has been attempted, or in strict readiness was successful."""
        if request.app.state.draining:
            return error_response(503, "the server is being stopped")
        if not self._service.has_started:
            return error_response(503, "models are being loaded")
        if self._settings.strict_readiness and (unready := self._service.unready()):
            names = ", ".join(version.model for version in unready)
            delays = [version.retry_after for version in unready if version.retry_after is not None]
            return error_response(503, f"models are not ready: {names}", min(delays, default=None))
        return json_response(answers.Ready(ready=True, live=True))

    async def models(self, request: Request) -> Response:
        """The names of all models, as KServe lists them."""
        names = sorted({version.model for version in self._service.versions()})
        return json_response(answers.ModelNames(models=names))

    async def model_metadata(self, request: Request) -> Response:
        """Versions, platform, tensors and signatures of a model."""
        return json_response(model_metadata(await self._service.describe(self.codec.selector(request))))

    async def model_config(self, request: Request) -> Response:
        """The configuration of a model, as Triton shows it."""
        return json_response(model_config(await self._service.describe(self.codec.selector(request))))

    async def model_ready(self, request: Request) -> Response:
        """200 where the model answers, 503 with the reason where it does not; it is not loaded for this question."""
        version = self._service.check_ready(self.codec.selector(request))
        return json_response(answers.ModelReady(name=version.model, ready=True))

    async def infer(self, request: Request) -> Response:
        """Run a model on the tensors of the body."""
        return await self._infer.answer(request)

    async def statistics(self, request: Request) -> Response:
        """The counts of one version, of all versions of a model, or of all models, by all processes of the server."""
        if "version" in request.path_params:
            versions = [self._service.status(self.codec.selector(request))]
        else:
            versions = list(self._service.versions(request.path_params.get("model")))
        counted, none = await self._service.statistics(), VersionCounts()
        entries = [model_stats(*one[:2], counted.get(one[:2], none)) for one in versions]
        return json_response(answers.Statistics(model_stats=entries))

    async def index(self, request: Request) -> Response:
        """Every version of every model, with its state; with ``{"ready": true}`` only those that are ready."""
        body = await read_body(request, self._settings)
        only_ready = decode(body if body.strip() else b"{}", IndexRequest).ready
        versions = self._service.versions()
        return json_response([_index_entry(one) for one in versions if one.state is State.READY or not only_ready])

    async def load(self, request: Request) -> Response:
        """Load the versions of a model that are not ready."""
        await self._check_change(request)
        await self._service.load(request.path_params["model"])
        return json_response(answers.Changed())

    async def unload(self, request: Request) -> Response:
        """Release all versions of a model."""
        await self._check_change(request)
        await self._service.unload(request.path_params["model"])
        return json_response(answers.Changed())

    async def _check_change(self, request: Request) -> None:
        check_change(request, self._settings)
        body = await read_body(request, self._settings)
        parameters = decode(body if body.strip() else b"{}", ChangeRequest).parameters or {}
        if unknown := parameters.keys() - {_CHANGE_PARAMETER}:
            raise InvalidInput(f"the parameter {min(unknown)!r} is not supported: a model is loaded as it is on disk")


def _index_entry(version: VersionStatus) -> answers.IndexEntry:
    entry = answers.IndexEntry(name=version.model, version=str(version.version), state=version.state.reported)
    return entry if version.state is State.READY else {**entry, "reason": version.reason}
