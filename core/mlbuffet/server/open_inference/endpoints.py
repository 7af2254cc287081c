"""The endpoints below /v2."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from importlib.metadata import version as distribution_version
from time import perf_counter_ns
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.errors import InvalidInput, MLBuffetError, Overloaded
from mlbuffet.json_text import decode
from mlbuffet.repository import Handle, ModelRepository, ModelVersion, State
from mlbuffet.scheduling import Call, Prediction
from mlbuffet.server.at_once import Answer, Prompt, Unwritten, take_outcome
from mlbuffet.server.body import compress, header, read_body
from mlbuffet.server.changes import check_change
from mlbuffet.server.coding import LARGE, code
from mlbuffet.server.errors import error_response
from mlbuffet.server.exchange import concerns
from mlbuffet.server.open_inference.answers import (
    Changed,
    IndexEntry,
    Live,
    ModelNames,
    ModelReady,
    ModelStatistics,
    Ready,
    ServerMetadata,
    Statistics,
)
from mlbuffet.server.open_inference.metadata import model_config, model_metadata
from mlbuffet.server.open_inference.repeats import RequestDecoder
from mlbuffet.server.open_inference.requests import HEADER_LENGTH, InferCall, lead_of, take_apart
from mlbuffet.server.open_inference.responses import InferResponse, encode_response
from mlbuffet.server.open_inference.statistics import VersionStatistics, model_stats
from mlbuffet.server.prediction import acquire, check_room, predict, within
from mlbuffet.server.settings import ServerSettings
from mlbuffet.tensors import Tensors, rough_size
from mlbuffet.version_numbers import version_in_address

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
]
"""The extensions of the protocol that are implemented, as server metadata lists them."""

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
_CHANGE_PARAMETER = "unload_dependents"


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


class _Answered(NamedTuple):
    response: Response
    decoded: int
    prediction: Prediction
    computed: int


class OpenInference:
    """The endpoints, over one repository.

    They count in ``statistics``, by version; ``all_statistics`` has what all processes of the server have counted.
    """

    def __init__(
        self,
        repository: ModelRepository,
        settings: ServerSettings,
        statistics: MutableMapping[tuple[str, int], VersionStatistics],
        all_statistics: Callable[[], Awaitable[Mapping[tuple[str, int], ModelStatistics]]],
    ) -> None:
        self._repository = repository
        self._settings = settings
        self._server = ServerMetadata(name="mlbuffet", version=distribution_version("mlbuffet"), extensions=EXTENSIONS)
        self._decoder = RequestDecoder()
        self._statistics = statistics
        self._all_statistics = all_statistics

    def prompts(self, routes: Sequence[Route]) -> list[Prompt]:
        """Those of ``routes`` that can be answered at once."""
        return [
            Prompt("v2", one.path_regex, self._version, self._check_room, self._infer_at_once)
            for one in routes
            if one.name == "infer"
        ]

    async def server_metadata(self, request: Request) -> Response:
        """Name, version and extensions of the server."""
        return _json(self._server)

    async def live(self, request: Request) -> Response:
        """200 as soon as the server answers at all."""
        return _json(Live(live=True))

    async def ready(self, request: Request) -> Response:
        """200 once the loading of every model has been attempted, or in strict readiness was successful."""
        if request.app.state.draining:
            return error_response(503, "the server is being stopped")
        if not self._repository.attempted:
            return error_response(503, "models are being loaded")
        if self._settings.strict_readiness and (unready := self._repository.unready()):
            names = ", ".join(version.name for version in unready)
            delays = [version.retry_after for version in unready if version.retry_after is not None]
            return error_response(503, f"models are not ready: {names}", min(delays, default=None))
        return _json(Ready(ready=True, live=True))

    async def models(self, request: Request) -> Response:
        """The names of all models, as KServe lists them."""
        return _json(ModelNames(models=sorted({version.name for version in self._repository})))

    async def model_metadata(self, request: Request) -> Response:
        """Versions, platform, tensors and signatures of a model."""
        with await self._acquire(request) as handle:
            name = handle.version.name
            ready = [one.version for one in self._repository.versions(name) if one.state is State.READY]
            return _json(model_metadata(name, handle.model, ready))

    async def model_config(self, request: Request) -> Response:
        """The configuration of a model, as Triton shows it."""
        with await self._acquire(request) as handle:
            batching = handle.scheduler.batching(handle.model.signatures.default)
            return _json(model_config(handle.version.name, handle.model, batching))

    async def model_ready(self, request: Request) -> Response:
        """200 where the model answers, 503 with the reason where it does not; it is not loaded for this question."""
        version = self._version(request)
        assert self._repository.is_dormant(version) or version.model
        return _json(ModelReady(name=version.name, ready=True))

    async def infer(self, request: Request) -> Response:
        """Run a model on the tensors of the body."""
        # an address that leads nowhere is refused before the body is read
        found = concerns(self._version(request))
        if outcome := await take_outcome(request):
            return outcome
        begin = perf_counter_ns()
        self._check_room(found)
        body = await read_body(request, self._settings, lead_of(header(request, _HEADER_LENGTH)))
        with await acquire(self._repository, lambda: self._version(request), found) as handle:
            self._check_room(handle.version)
            statistics = self._counts(handle.version)
            try:
                answered = await within(self._settings.request_timeout, self._answered(request, body, handle))
            except Exception:
                statistics.failure(perf_counter_ns() - begin)
                raise
            statistics.success(answered.prediction, begin, answered.decoded, answered.computed, perf_counter_ns())
        return answered.response

    async def statistics(self, request: Request) -> Response:
        """The counts of one version, of all versions of a model, or of all models, by all processes of the server."""
        if "version" in request.path_params:
            versions = [self._version(request)]
        elif "model" in request.path_params:
            versions = self._repository.versions(request.path_params["model"])
        else:
            versions = list(self._repository)
        counted, none = await self._all_statistics(), VersionStatistics()
        entries = [counted.get((one.name, one.version)) or model_stats(one.name, one.version, none) for one in versions]
        return _json(Statistics(model_stats=entries))

    async def index(self, request: Request) -> Response:
        """Every version of every model, with its state; with ``{"ready": true}`` only those that are ready."""
        body = await read_body(request, self._settings)
        asked = decode(body, IndexRequest) if body.strip() else IndexRequest()
        return _json([_index_entry(one) for one in self._repository if one.state is State.READY or not asked.ready])

    async def load(self, request: Request) -> Response:
        """Load the versions of a model that are not ready."""
        await self._check_change(request)
        await run_in_threadpool(self._repository.load, request.path_params["model"])
        return _json(Changed())

    async def unload(self, request: Request) -> Response:
        """Release all versions of a model."""
        await self._check_change(request)
        await run_in_threadpool(self._repository.unload, request.path_params["model"])
        return _json(Changed())

    def _infer_at_once(self, handle: Handle, request: Request, body: bytes) -> Answer | Unwritten | None:
        begin = perf_counter_ns()
        try:
            parts = take_apart(body, header(request, _HEADER_LENGTH))
            call = self._decoder.decode(parts, handle.model.signatures)
        except MLBuffetError:  # the application says so too
            return None
        decoded = perf_counter_ns()
        version = handle.version
        try:
            prediction = handle.scheduler.run_now(Call(call.inputs, call.signature, call.output_names))
            if prediction is None:
                return None
            computed = perf_counter_ns()
            outputs = prediction.outputs
            answer: Answer | Unwritten
            if (size := rough_size(outputs)) >= LARGE:
                answer = Unwritten(size, lambda: _response(request, call, version, outputs))
            else:
                answer = _answer(encode_response(call, version.name, version.version, outputs))
        except Exception:
            self._counts(version).failure(perf_counter_ns() - begin)
            raise
        self._counts(version).success(prediction, begin, decoded, computed, perf_counter_ns())
        return answer

    def _check_room(self, version: ModelVersion) -> None:
        """Raises `Overloaded`; under load this is asked most, so that it is asked before the body is read and after."""
        try:
            check_room(version)
        except Overloaded:
            self._counts(version).failure(0)
            raise

    async def _answered(self, request: Request, body: bytes, handle: Handle) -> _Answered:
        """The answer to a body behind its lead, and when it was decoded and computed."""
        length = header(request, _HEADER_LENGTH)
        parts = take_apart(body, length, lead_of(length))
        call = await code(parts.size_to_decode, lambda: self._decoder.decode(parts, handle.model.signatures))
        decoded = perf_counter_ns()
        prediction = await predict(handle, Call(call.inputs, call.signature, call.output_names), request.receive)
        computed = perf_counter_ns()
        outputs = prediction.outputs
        response = await code(rough_size(outputs), lambda: _response(request, call, handle.version, outputs))
        return _Answered(response, decoded, prediction, computed)

    def _counts(self, version: ModelVersion) -> VersionStatistics:
        key = version.name, version.version
        return self._statistics.get(key) or self._statistics.setdefault(key, VersionStatistics())

    async def _check_change(self, request: Request) -> None:
        check_change(request, self._settings)
        body = await read_body(request, self._settings)
        parameters = (decode(body, ChangeRequest) if body.strip() else ChangeRequest()).parameters or {}
        if unknown := parameters.keys() - {_CHANGE_PARAMETER}:
            raise InvalidInput(f"the parameter {min(unknown)!r} is not supported: a model is loaded as it is on disk")

    async def _acquire(self, request: Request) -> Handle:
        return await acquire(self._repository, lambda: self._version(request))

    def _version(self, request: Request) -> ModelVersion:
        asked = request.path_params
        number = version_in_address(asked["version"]) if "version" in asked else None
        return self._repository.get(asked["model"], number)


def _answer(response: InferResponse) -> Answer:
    if response.header_length is None:
        return Answer(response.body)
    length = (_HEADER_LENGTH, b"%d" % response.header_length)
    return Answer(response.body, ((b"content-type", b"application/octet-stream"), length))


def _response(request: Request, call: InferCall, version: ModelVersion, outputs: Tensors) -> Response:
    """The answer to ``call``, in an encoding that the client accepts."""
    return compress(_answer(encode_response(call, version.name, version.version, outputs)).as_response(), request)


def _index_entry(version: ModelVersion) -> IndexEntry:
    entry: IndexEntry = {"name": version.name, "version": str(version.version), "state": version.state.reported}
    if version.state is not State.READY:
        entry["reason"] = version.reason
    return entry


def _json(content: Mapping[str, object] | Sequence[object]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
