"""The HTTP application: every protocol on one port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import Thread

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository import ModelRepository, ModelVersion
from mlbuffet.server import documentation, open_inference, tensorflow_serving
from mlbuffet.server.errors import answer_defect, answer_http_exception, answer_mlbuffet_error
from mlbuffet.server.settings import ServerSettings


def create_app(
    repository: ModelRepository,
    settings: ServerSettings | None = None,
    *,
    on_change: Callable[[ModelVersion], None] = lambda _: None,
    on_loaded: Callable[[], None] = lambda: None,
) -> Starlette:
    """An ASGI application that answers for the models of ``repository``.

    It loads them in a thread of their own when it starts, so that it is live at once and ready when each was tried
    (with ``load_first`` it is live only then), and closes the repository when it stops. ``on_change`` hears of each
    version when its loading begins and ends, ``on_loaded`` when all are through; both are called in that thread.
    """
    chosen = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()

        def load_all() -> None:
            repository.load_all(on_change)
            on_loaded()
            with suppress(RuntimeError):  # the loop may have ended before
                loop.call_soon_threadsafe(loaded.set)

        # a daemon, because an import of TensorFlow under way cannot be interrupted, and Ctrl-C must not wait for it
        Thread(target=load_all, name="mlbuffet-load", daemon=True).start()
        if chosen.load_first:
            await loaded.wait()
        yield
        repository.close()

    v2, v1 = open_inference.routes(repository, chosen), tensorflow_serving.routes(repository, chosen)
    described = [open_inference.protocol(v2), tensorflow_serving.protocol(v1)]
    app = Starlette(
        routes=[*v2, *v1, *documentation.routes(described)],
        exception_handlers={
            MLBuffetError: answer_mlbuffet_error,
            HTTPException: answer_http_exception,
            Exception: answer_defect,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # its redirect repeats the Host that a client claims, and clients want 200
    app.state.draining = False  # set by the process when it is told to stop
    return app
