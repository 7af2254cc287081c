"""The HTTP application: every protocol on one port."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import ModelRepository, ModelVersion, Publisher
from mlbuffet.server import buffet, documentation, open_inference, tensorflow_serving
from mlbuffet.server.errors import answer_defect, answer_http_exception, answer_mlbuffet_error, answer_nobody
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

    It loads them in a thread of their own when it starts, so that it is live at once and ready when each was tried, and
    closes the repository when it stops. Through ``publisher`` clients add and remove models. ``on_change`` hears of
    each version when its loading begins and ends, ``on_loaded`` when all are through; both are called in that thread.
    """

    def load_all() -> None:
        repository.load_all(on_change)
        on_loaded()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # a daemon, because an import of TensorFlow under way cannot be interrupted, and Ctrl-C must not wait for it
        Thread(target=load_all, name="mlbuffet-load", daemon=True).start()
        yield
        repository.close()
        if publisher is not None:
            publisher.close()

    chosen = settings or ServerSettings()
    v2, v1 = open_inference.routes(repository, chosen), tensorflow_serving.routes(repository, chosen)
    own = buffet.routes(repository, chosen, publisher)
    described = [open_inference.protocol(v2), tensorflow_serving.protocol(v1), buffet.protocol(own)]
    app = Starlette(
        routes=[*v2, *v1, *own, *documentation.routes(described)],
        exception_handlers={
            MLBuffetError: buffet.with_status(answer_mlbuffet_error),
            HTTPException: buffet.with_status(answer_http_exception),
            ClientDisconnect: answer_nobody,
            Exception: buffet.with_status(answer_defect),
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # its redirect repeats the Host that a client claims, and clients want 200
    app.state.draining = False  # set by the process when it is told to stop
    return app
