"""MLBuffet inside other programs: under any ASGI server, mounted in other applications, and in tests of those."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as running_threads
from typing import Any, get_type_hints

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import mlbuffet
from mlbuffet import Runtimes, hookimpl
from mlbuffet.repository import ModelRepository, RepositoryOptions, RepositorySettings
from mlbuffet.server import ServerSettings
from mlbuffet.server import create_app as low_level
from mlbuffet.server.embedding import ApplicationOptions
from programs import output_of, served_by_uvicorn
from remote_service import remote_service
from small_runtimes import HalfPlusTwo, repository_of, small_runtimes, write_models
from waiting import wait_for

RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]
MODELS = {"half/1/x.half": "half", "half/model.toml": 'description = "x / 2 + 2"'}
V2 = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}]}
V1 = {"instances": [2]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_models(tmp_path, MODELS)


def application(folder: Path, **settings: Any) -> Starlette:
    return mlbuffet.create_app(folder, runtimes=small_runtimes(), **settings)


def until_ready(client: Any, prefix: str = "") -> None:
    wait_for(lambda: client.get(f"{prefix}/v2/health/ready").status_code == 200)


def check(client: httpx.Client, prefix: str = "") -> None:
    """Each protocol answers below ``prefix``."""
    until_ready(client, prefix)
    assert client.post(f"{prefix}/v2/models/half/infer", json=V2).json()["outputs"][0]["data"] == [3.0]
    assert client.post(f"{prefix}/v1/models/half:predict", json=V1).json() == {"predictions": [3.0]}
    assert client.post(f"{prefix}/api/v1/models/half/prediction", json={"values": [2]}).status_code == 200
    lost = client.post(f"{prefix}/v2/models/lost/infer", json=V2)
    assert (lost.status_code, lost.json()) == (404, {"error": "there is no model 'lost'"})
    missing = client.get(f"{prefix}/api/v1/models/lost").json()
    assert missing["http_status"]["code"] == 404
    metrics = client.get(f"{prefix}/metrics").text
    for protocol in ("v2", "v1", "api"):
        labels = f'code="200",model="half",protocol="{protocol}",version="1"'
        assert f"mlbuffet_requests_total{{{labels}}} 1.0" in metrics, metrics


def check_description(client: httpx.Client, prefix: str) -> None:
    """The documents say where the application is."""
    page = client.get(f"{prefix}/docs").text
    assert 'fetch("openapi.json")' in page
    document = client.get(f"{prefix}/openapi.json").json()
    assert document.get("servers", [{"url": ""}]) == [{"url": prefix}]
    (server,) = document.get("servers", [{"url": ""}])
    address = next(path for path in document["paths"] if path.endswith("/infer")).format(model="half")
    assert client.post(server["url"] + address, json=V2).status_code == 200


@contextmanager
def asgi_client(app: Any) -> Iterator[httpx.Client]:
    """A client of ``app`` on a real socket, under uvicorn as it is."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_it_is_an_application_for_any_server(folder: Path) -> None:
    with asgi_client(application(folder)) as client:
        check(client)
        check_description(client, "")


def test_the_own_server_of_mlbuffet_serves_it_with_its_fast_path(folder: Path, run_app: RunApp) -> None:
    with run_app(application(folder)) as client:
        check(client)


def below_a_path_of_starlette(app: Starlette) -> Any:
    return Starlette(routes=[Mount("/ml", app)])


def below_a_path_of_fastapi(app: Starlette) -> Any:
    parent = FastAPI()
    parent.mount("/ml", app)
    return parent


def below_a_path_of_litestar(app: Starlette) -> Any:
    @asgi("/ml", is_mount=True, copy_scope=True)
    async def models(scope: Scope, receive: Receive, send: Send) -> None:
        inside = {**scope, "root_path": "/ml", "path": f"/ml{scope['path'].rstrip('/')}"}  # as ASGI wants it
        await app(inside, receive, send)  # type: ignore[arg-type]  # its types of ASGI are its own

    return Litestar([models], openapi_config=None, logging_config=None)


PARENTS = [below_a_path_of_starlette, below_a_path_of_fastapi, below_a_path_of_litestar]


@pytest.mark.parametrize("parent", PARENTS)
def test_mounted_it_starts_at_its_first_request(folder: Path, parent: Callable[[Starlette], Any]) -> None:
    with asgi_client(parent(application(folder))) as client:
        check(client, "/ml")


@pytest.mark.parametrize("parent", PARENTS)
def test_mounted_it_describes_itself_where_it_is(folder: Path, parent: Callable[[Starlette], Any]) -> None:
    with asgi_client(parent(application(folder))) as client:
        until_ready(client, "/ml")
        check_description(client, "/ml")


def test_while_its_models_load_a_mounted_application_says_so(
    slow: ModelRepository, may_load: Event, run_app: RunApp
) -> None:
    with run_app(below_a_path_of_starlette(low_level(slow))) as client:
        infer = client.post("/ml/v2/models/half/infer", json=V2)
        assert infer.status_code == 503
        assert infer.json()["error"].startswith("version 1 of the model 'half' is not ready: it is ")
        assert infer.headers["retry-after"] == "1"
        ready = client.get("/ml/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"error": "models are being loaded"})
        assert client.get("/ml/v2/health/live").status_code == 200
        may_load.set()
        until_ready(client, "/ml")
        assert client.post("/ml/v2/models/half/infer", json=V2).status_code == 200
    slow.close()


def test_where_the_parent_runs_its_lifespan_it_starts_and_stops_with_it(
    folder: Path, no_new_threads: Callable[[], bool]
) -> None:
    app = application(folder, watch=True)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    parent = FastAPI(lifespan=lifespan)
    parent.mount("/ml", app)
    with asgi_client(parent) as client:
        check(client, "/ml")
    wait_for(no_new_threads)


def threads_of_models() -> set[Thread]:
    return {one for one in running_threads() if one.name in ("mlbuffet-watch", "mlbuffet-load")}


@pytest.fixture
def no_new_threads() -> Callable[[], bool]:
    """Whether no application has threads that had none when the test began."""
    before = threads_of_models()
    return lambda: not threads_of_models() - before


@pytest.mark.filterwarnings("error")
def test_the_test_client_starts_it_as_often_as_it_wants(folder: Path, no_new_threads: Callable[[], bool]) -> None:
    app = application(folder, load_first=True, watch=True)
    for _ in range(3):
        with TestClient(app) as client:
            assert client.get("/v2/health/ready").status_code == 200
            assert client.post("/v2/models/half/infer", json=V2).status_code == 200
            assert client.post("/api/v1/models/half", content=b"half").status_code == 403
        wait_for(no_new_threads)
        assert TestClient(app).get("/v2/models/half/ready").status_code == 503
    write_models(folder, {"half/2/x.half": "half"})
    with TestClient(app) as client:  # which looks for what has changed meanwhile
        wait_for(lambda: client.get("/v2/models/half/versions/2/ready").status_code == 200)


def test_clients_without_a_lifespan_start_it_on_one_event_loop_or_several(folder: Path) -> None:
    client = TestClient(application(folder))  # which has an event loop for each request
    until_ready(client)
    for _ in range(5):
        assert client.post("/v2/models/half/infer", json=V2).status_code == 200

    async def ask(app: Starlette) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://program") as client:
            while (await client.get("/v2/health/ready")).status_code == 503:
                await asyncio.sleep(0.01)
            return await client.post("/v2/models/half/infer", json=V2)

    app = application(folder)
    for _ in range(3):
        assert asyncio.run(ask(app)).json()["outputs"][0]["data"] == [3.0]


def test_one_that_is_garbage_stops(folder: Path, no_new_threads: Callable[[], bool]) -> None:
    app = application(folder, watch=True)
    until_ready(TestClient(app))
    wait_for(lambda: not no_new_threads())
    del app
    gc.collect()
    wait_for(no_new_threads)


def test_one_that_nobody_stops_ends_with_the_process_without_a_word(folder: Path) -> None:
    program = f"""
import time, mlbuffet
from fastapi import FastAPI
from starlette.testclient import TestClient
from small_runtimes import small_runtimes
app = FastAPI()
app.mount("/ml", mlbuffet.create_app({str(folder)!r}, runtimes=small_runtimes(), watch=True))
client = TestClient(app)
while client.get("/ml/v2/health/ready").status_code == 503:
    time.sleep(0.01)
print(client.post("/ml/v2/models/half/infer", json={V2}).status_code)
"""
    assert output_of(program, "-X", "dev") == ("200\n", "")


def test_a_factory_of_uvicorn_serves_it_below_the_root_path_that_it_is_given(folder: Path, tmp_path: Path) -> None:
    program = f"""
import mlbuffet
from small_runtimes import small_runtimes
def app():
    return mlbuffet.create_app({str(folder)!r}, runtimes=small_runtimes(), load_first=True)
"""
    options = ["--factory", "--root-path", "/ml"]
    with served_by_uvicorn(program, tmp_path, *options, ready="/v2/health/ready") as client:
        assert client.post("/v2/models/half/infer", json=V2).status_code == 200
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/ml"}]


def test_a_route_of_its_own_calls_a_model_beside_the_mounted_application(folder: Path) -> None:
    repository = mlbuffet.Repository(folder, runtimes=small_runtimes())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with repository:
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/ml", application(folder))

    @app.post("/score")
    async def score(values: list[float]) -> list[float]:
        scores: list[float] = (await repository.predict_async("half", {"x": values}))["y"].tolist()
        return scores

    @app.post("/score-in-a-thread")
    def score_in_thread(values: list[float]) -> list[float]:
        scores: list[float] = repository.predict("half", {"x": values})["y"].tolist()
        return scores

    with asgi_client(app) as client:
        for path in ("/score", "/score-in-a-thread"):
            assert client.post(path, json=[2, 4]).json() == [3.0, 4.0]
        check(client, "/ml")


def test_the_access_log_shows_the_whole_path(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mlbuffet.access"):
        client = TestClient(below_a_path_of_starlette(application(folder, access_log=True)))
        until_ready(client, "/ml")
        client.post("/ml/v2/models/half/infer", json=V2)
    (line,) = [
        record.getMessage()
        for record in caplog.records
        if "infer" in record.getMessage() and record.name == "mlbuffet.access"
    ]
    assert " POST /ml/v2/models/half/infer 200 " in line


@pytest.mark.parametrize("options", [{}, {"admin_token": "secret"}, {"admin_token": "secret", "read_only": True}])
def test_clients_change_models_with_the_token_that_the_program_gives(folder: Path, options: dict[str, Any]) -> None:
    allowed = options == {"admin_token": "secret"}
    with TestClient(application(folder, load_first=True, **options)) as client:
        headers = {"Authorization": "Bearer secret"}
        chosen = client.post("/api/v1/models/half/default", params={"version": 1}, headers=headers)
        assert (chosen.status_code == 403) is not allowed


def test_wrong_places_and_settings_are_refused_where_the_application_is_made(folder: Path) -> None:
    with pytest.raises(mlbuffet.ArtifactNotFound):
        mlbuffet.create_app(folder / "lost")
    with pytest.raises(mlbuffet.NoModels):
        application(write_models(folder / "empty", {"readme.txt": ""}))
    with pytest.raises(TypeError, match=r"create_app\(\) has no setting 'workers'; the settings are: access_log, "):
        mlbuffet.create_app(folder, workers=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"create_app\(\): max_body: expected int, got str"):
        application(folder, max_body="64MiB")
    with pytest.raises(ValueError, match="Redis URL must"):
        application(folder, cache_redis="nonsense")


def test_one_that_may_become_of_use_needs_no_model(folder: Path) -> None:
    empty = write_models(folder / "empty", {"readme.txt": ""})
    with TestClient(application(empty, admin_token="secret", load_first=True)) as client:
        assert client.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("options", "settings"),
    [(RepositoryOptions, [RepositorySettings]), (ApplicationOptions, [RepositorySettings, ServerSettings])],
)
def test_keywords_are_typed_as_the_settings_that_they_are(options: type, settings: list[type]) -> None:
    fields: dict[str, object] = {}
    for one in settings:
        fields |= get_type_hints(one)
    keywords = get_type_hints(options)
    own = {"admin_token": str | None, "predict_token": str | None, "prefer": Sequence[str]}
    assert keywords == {name: own.get(name, fields[name]) for name in keywords}
    process = {"grace", "drain", "workers", "worker_slot", "trusted_proxies"}  # what is the ASGI server's business
    process |= {"root_path", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs"}
    assert fields.keys() - keywords.keys() == (process if ServerSettings in settings else set())


def test_one_that_is_stopped_while_its_models_load_follows_nothing_later(
    folder: Path, no_new_threads: Callable[[], bool]
) -> None:
    may_load, loading = Event(), Event()

    class Slow(HalfPlusTwo):
        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> float:
            loading.set()
            assert may_load.wait(20)
            return 2.0

    runtimes = Runtimes()
    runtimes.register(Slow(), name="slow")
    with TestClient(mlbuffet.create_app(folder, runtimes=runtimes, watch=True)):
        assert loading.wait(10)
    may_load.set()
    wait_for(no_new_threads)


def test_one_that_serves_a_service_elsewhere_starts_and_stops_too(folder: Path) -> None:
    with remote_service(repository_of(folder, small_runtimes())) as service:
        with TestClient(low_level(service, ServerSettings(load_first=True))) as client:
            assert client.post("/v2/models/half/infer", json=V2).status_code == 200
        assert TestClient(low_level(service)).post("/v2/models/half/infer", json=V2).status_code == 200
