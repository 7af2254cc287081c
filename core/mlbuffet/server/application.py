"""The HTTP application: every protocol on one port."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from mlbuffet.errors import MLBuffetError
from mlbuffet.inference import InferenceService
from mlbuffet.inference.gauges import measure, measure_service
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import ModelRepository, ModelVersion, Publisher
from mlbuffet.server.grpc_serving import GrpcServing
from mlbuffet.server.http import documentation
from mlbuffet.server.http.access_log import RequestLog
from mlbuffet.server.http.cross_origin import CrossOrigin, readable_across_origins
from mlbuffet.server.http.errors import (
    Handler,
    answer_defect,
    answer_http_exception,
    answer_mlbuffet_error,
    answer_nobody,
)
from mlbuffet.server.http.model_guard import ModelGuard
from mlbuffet.server.http.prediction import PredictionCodec
from mlbuffet.server.lifecycle import Lifecycle
from mlbuffet.server.model_tokens import ModelTokens
from mlbuffet.server.protocols import management, metrics, open_inference, tensorflow_serving
from mlbuffet.server.protocols.metrics import Metrics
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.request_counters import RequestCounters
from mlbuffet.telemetry.worker import WorkerTelemetry


def create_app(
    models: ModelRepository | InferenceService,
    settings: ServerSettings | None = None,
    publisher: Publisher | None = None,
    *,
    files: ModelRepository | None = None,
    telemetry: WorkerTelemetry | None = None,
    on_change: Callable[[ModelVersion], None] = lambda _: None,
    on_loaded: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
) -> Starlette:
    """An ASGI application that answers for ``models``: those of a repository, or of a service that has them elsewhere.

    The models of a repository are loaded in a thread when the application starts, so that it is live at once and ready
    when each was tried (with ``load_first`` it is live only then), and the repository is closed when it stops. An
    application whose lifespan is not run, as below a path of another, starts at its first request, and stops when the
    process ends or it is garbage. Through ``publisher`` clients add and remove models. Of a service, ``files`` are what
    is on disk of its models, and ``telemetry`` is where it counts. ``on_change`` is called with each version when its
    loading begins and ends, in the thread that loads it; ``on_loaded`` after the last; ``on_stop`` before they are
    unloaded.
    """
    chosen = settings or ServerSettings()
    repository = models if isinstance(models, ModelRepository) else None
    if isinstance(models, ModelRepository):
        counted = telemetry or WorkerTelemetry(partial(measure, models), chosen.worker_slot)
        models.listen(lambda version: counted.note_load(version.name, version.version, version.state.value))
        service: InferenceService = LocalService(models, counted)
    else:
        service = models
        counted = telemetry or WorkerTelemetry(partial(measure_service, models), chosen.worker_slot)

    lifecycle = Lifecycle(counted, repository, publisher, on_change=on_change, on_loaded=on_loaded, on_stop=on_stop)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        await app.state.grpc.start_before_loading()
        loaded = lifecycle.start()
        if chosen.load_first:
            await asyncio.wrap_future(loaded)
        await app.state.grpc.start()
        state: dict[str, object] = {"on_refusal": counted.requests.refuse}
        if chosen.fast_path and not chosen.access_log:
            state["fast_path"] = _fast_path(service, codecs, predictions, counted.requests, chosen, tokens)
        yield state
        await app.state.grpc.stop(chosen.grace)
        await lifecycle.stop()

    tokens = ModelTokens(chosen) if chosen.predict_token is not None else None
    infer = open_inference.OpenInference(service, chosen)
    predict = tensorflow_serving.TensorFlowServing(service, chosen)
    v2, v1 = open_inference.routes(infer), tensorflow_serving.routes(predict)
    own = management.routes(service, chosen, files or repository, publisher)
    codecs: dict[str, PredictionCodec[Any]] = {"infer": infer.codec, "predict": predict.codec}
    predictions = [route for route in (*v2, *v1) if route.name in codecs]
    operations = Metrics(counted)
    described = [
        open_inference.protocol(v2),
        tensorflow_serving.protocol(v1),
        management.protocol(own),
        metrics.protocol(operations),
    ]
    handlers: dict[type[Exception], Handler] = {
        MLBuffetError: management.with_status(answer_mlbuffet_error),
        HTTPException: management.with_status(answer_http_exception),
        ClientDisconnect: answer_nobody,
        Exception: management.with_status(answer_defect),
    }
    answer_cut = handlers[HTTPException]
    if chosen.cors_origins:  # responses that are sent outside of its middleware
        handlers[Exception] = readable_across_origins(handlers[Exception], chosen.cors_origins)
        answer_cut = readable_across_origins(answer_cut, chosen.cors_origins)
    app = _Application(
        lifecycle,
        routes=[*v2, *v1, *own, *operations.routes, *documentation.routes(described)],
        exception_handlers=handlers,
        middleware=[
            Middleware(
                RequestLog,
                counters=counted.requests,
                access_log=chosen.access_log,
                answer_cut=answer_cut,
            ),
            *([Middleware(CrossOrigin, chosen.cors_origins)] if chosen.cors_origins else []),
            *([Middleware(ModelGuard, tokens=tokens, answer=handlers[HTTPException])] if tokens else []),
            *([_prediction_router(predictions, handlers)] if chosen.fast_path else []),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # its redirect repeats the Host that a client claims, and clients want 200
    app.state.draining = False  # set by the process when it is told to stop
    app.state.grpc = GrpcServing(app.state, service, counted.requests, chosen, tokens)
    return app


class _Application(Starlette):
    """Starts at its first request, if it was not started before."""

    def __init__(self, lifecycle: Lifecycle, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._lifecycle = lifecycle
        weakref.finalize(self, lifecycle.stop_models)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        """What Starlette calls for each request; the first goes another way, so that the others cost nothing."""
        stack = super().build_middleware_stack()

        async def begin(scope: Scope, receive: Receive, send: Send) -> None:
            self.middleware_stack = stack
            if scope["type"] != "lifespan":
                self._lifecycle.start()
            await stack(scope, receive, send)

        return begin


def _fast_path(
    service: InferenceService,
    codecs: Mapping[str, PredictionCodec[Any]],
    predictions: Sequence[Route],
    counters: RequestCounters,
    settings: ServerSettings,
    tokens: ModelTokens | None,
) -> object:
    from mlbuffet.server.fast_path.admission import Admission
    from mlbuffet.server.fast_path.endpoint import FastEndpoint, FastPath  # a server without it never imports it

    endpoints = [FastEndpoint(route.path_regex, codecs[route.name]) for route in predictions]
    open_to_all = tokens is None and not settings.cors_origins
    admission = None if open_to_all else Admission(tokens, cross_origin=bool(settings.cors_origins))
    return FastPath(service, endpoints, counters, max_body=settings.max_body, admission=admission)


def _prediction_router(predictions: Sequence[Route], handlers: Mapping[type[Exception], Handler]) -> Middleware:
    from mlbuffet.server.fast_path.prediction_router import PredictionRouter

    return Middleware(PredictionRouter, predictions, handlers)
