"""The HTTP application: every protocol on one port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Thread

from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import ModelRepository, ModelVersion, Publisher
from mlbuffet.server import buffet, documentation, open_inference, tensorflow_serving
from mlbuffet.server.at_once import AtOnce
from mlbuffet.server.counting import metrics
from mlbuffet.server.counting.census import Census
from mlbuffet.server.counting.ledger import Ledger
from mlbuffet.server.counting.loads import Loads
from mlbuffet.server.counting.metrics import Metrics
from mlbuffet.server.counting.siblings import Siblings, left_by_predecessor
from mlbuffet.server.counting.traffic import Traffic
from mlbuffet.server.errors import answer_defect, answer_http_exception, answer_mlbuffet_error, answer_nobody
from mlbuffet.server.first import PredictionsFirst
from mlbuffet.server.observed import Observed
from mlbuffet.server.open_inference.statistics import VersionStatistics
from mlbuffet.server.settings import ServerSettings


def create_app(
    repository: ModelRepository,
    settings: ServerSettings | None = None,
    publisher: Publisher | None = None,
    *,
    on_change: Callable[[ModelVersion], None] = lambda _: None,
    on_loaded: Callable[[], None] = lambda: None,
) -> Starlette:
    """An ASGI application that answers for the models of ``repository``.

    It loads them in a thread of their own when it starts, so that it is live at once and ready when each was tried
    (with ``load_first`` it is live only then), and closes the repository when it stops. Through ``publisher`` clients
    add and remove models. ``on_change`` hears of each version when its loading begins and ends, in the thread that
    loads it; ``on_loaded`` when all are through.
    """
    chosen = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        current_default_thread_limiter()  # anyio imports its backend at its first use, which is not to be a prediction
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()
        await ledger.start()

        def load_all() -> None:
            repository.load_all(on_change)
            on_loaded()
            with suppress(RuntimeError):  # the loop may have ended before
                loop.call_soon_threadsafe(loaded.set)

        # a daemon, because an import of TensorFlow under way cannot be interrupted, and Ctrl-C must not wait for it
        Thread(target=load_all, name="mlbuffet-load", daemon=True).start()
        if chosen.load_first:
            await loaded.wait()
        repository.cache.start()
        at_once = {} if chosen.access_log else {"at_once": AtOnce(prompts, traffic, max_body=chosen.max_body)}
        yield {"on_refusal": traffic.refuse, **at_once}
        await ledger.close()
        await repository.cache.close()
        await asyncio.to_thread(repository.close)  # it waits for calls, and the loop has yet to send what it answered
        if publisher is not None:
            publisher.close()

    traffic, loads = Traffic(), Loads()
    repository.listen(loads.note)
    statistics: dict[tuple[str, int], VersionStatistics] = {}
    inherited = None if chosen.seat is None else left_by_predecessor(chosen.seat)
    census = Census(repository, traffic, loads, statistics, inherited)
    ledger = Ledger(repository, census, None if chosen.seat is None else Siblings(chosen.seat, census))
    infer = open_inference.OpenInference(repository, chosen, statistics, ledger.statistics)
    predict = tensorflow_serving.TensorFlowServing(repository, chosen)
    v2, v1 = open_inference.routes(infer), tensorflow_serving.routes(predict)
    own = buffet.routes(repository, chosen, publisher)
    predictions = [route for route in (*v2, *v1) if route.name in ("infer", "predict")]
    prompts = [*infer.prompts(v2), *predict.prompts(v1)]
    operations = Metrics(ledger)
    described = [
        open_inference.protocol(v2),
        tensorflow_serving.protocol(v1),
        buffet.protocol(own),
        metrics.protocol(operations),
    ]
    app = Starlette(
        routes=[*v2, *v1, *own, *operations.routes, *documentation.routes(described)],
        exception_handlers={
            MLBuffetError: buffet.with_status(answer_mlbuffet_error),
            HTTPException: buffet.with_status(answer_http_exception),
            ClientDisconnect: answer_nobody,
            Exception: buffet.with_status(answer_defect),
        },
        middleware=[
            Middleware(
                Observed,
                traffic=traffic,
                access_log=chosen.access_log,
                answer_cut=buffet.with_status(answer_http_exception),
            ),
            Middleware(PredictionsFirst, predictions),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # its redirect repeats the Host that a client claims, and clients want 200
    app.state.draining = False  # set by the process when it is told to stop
    return app
