"""More than a server can bear: nobody else waits, what cannot wait is refused, and what nobody waits for is not run."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from gated import Gated
from mlbuffet.repository import ModelRepository, find_models
from mlbuffet.server import ServerSettings, create_app
from small_runtimes import small_runtimes
from waiting import wait_for

INFER = "/v2/models/m/infer"


def body(*values: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(values)], "datatype": "FP32", "data": list(values)}]}


@dataclass
class Crowded:
    """A server of the models ``m``, which answers when its gate is open, ``half`` and ``nap``, and many clients."""

    plugin: Gated
    client: httpx.Client
    repository: ModelRepository
    threads: ThreadPoolExecutor

    def ask(self, value: float) -> Future[httpx.Response]:
        return self.threads.submit(self.client.post, INFER, json=body(value))

    def statistics(self, model: str = "m") -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v2/models/{model}/stats").json()["model_stats"][0]
        return found


@pytest.fixture
def crowd(
    tmp_path: Path, run_app: Callable[[Starlette], AbstractContextManager[httpx.Client]]
) -> Iterator[Callable[..., Crowded]]:
    """A function that serves, with the ``model.toml`` of ``m``, settings and middlewares around the application."""
    with ExitStack() as stack:

        def start(toml: str = "", settings: ServerSettings | None = None, around: tuple[Any, ...] = ()) -> Crowded:
            for name in ("m/m.gated", "half/half.half", "nap/nap.sleep"):
                (tmp_path / name).parent.mkdir()
                (tmp_path / name).write_text("half")
            (tmp_path / "m/model.toml").write_text(toml)
            plugin, runtimes, loaded = Gated(), small_runtimes(), Event()
            runtimes.register(plugin, name="gated")
            repository = ModelRepository(runtimes)
            repository.update(find_models(tmp_path, runtimes))
            app = create_app(repository, settings, on_loaded=loaded.set)
            for middleware in around:
                app.add_middleware(middleware)
            single = stack.enter_context(run_app(app))
            assert loaded.wait(120)
            limits = httpx.Limits(max_connections=None)
            client = stack.enter_context(httpx.Client(base_url=single.base_url, timeout=30, limits=limits))
            threads = stack.enter_context(ThreadPoolExecutor(100))
            stack.callback(plugin.gate.set)
            return Crowded(plugin, client, repository, threads)

        yield start


@contextmanager
def posted(crowded: Crowded, value: float) -> Iterator[socket.socket]:
    """A connection on which a request was sent, and whose answer is never read."""
    url = crowded.client.base_url
    content = json.dumps(body(value)).encode()
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(
            b"POST %s HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%s" % (INFER.encode(), len(content), content)
        )
        yield connection


def test_a_model_with_60_calls_keeps_no_other_waiting(crowd: Callable[..., Crowded]) -> None:
    crowded = crowd(settings=ServerSettings(allow_changes=True))
    client = crowded.client
    answers = [crowded.ask(number) for number in range(60)]
    wait_for(lambda: crowded.repository.get("m").users == 2 * 60)
    assert client.get("/v2/health/ready").status_code == 200
    for _ in range(20):
        assert client.post("/v2/models/half/infer", json=body(1)).json()["outputs"][0]["data"] == [2.5]
    assert client.post("/v2/repository/models/half/unload").status_code == 200
    assert client.post("/v2/repository/models/half/load").status_code == 200
    large = body(*[1.0] * 50_000)  # decoded and encoded in threads
    assert len(client.post("/v2/models/half/infer", json=large).json()["outputs"][0]["data"]) == 50_000
    assert not any(answer.done() for answer in answers)
    crowded.plugin.gate.set()
    assert [answer.result().json()["outputs"][0]["data"] for answer in answers] == [[2 * n] for n in range(60)]


def test_a_model_that_turns_slow_leaves_the_event_loop(crowd: Callable[..., Crowded]) -> None:
    crowded = crowd()
    nap = {"inputs": [{"name": "x", "shape": [], "datatype": "FP32", "data": [0]}]}
    for _ in range(30):
        assert crowded.client.post("/v2/models/nap/infer", json=nap).status_code == 200
    nap["inputs"][0]["data"] = [0.02]
    for _ in range(2):  # which the loop could not know
        assert crowded.client.post("/v2/models/nap/infer", json=nap).status_code == 200
    nap["inputs"][0]["data"] = [2]
    answer = crowded.threads.submit(crowded.client.post, "/v2/models/nap/infer", json=nap)
    wait_for(lambda: crowded.repository.get("nap").users == 2)
    for _ in range(20):
        assert crowded.client.get("/v2/health/live").status_code == 200
        assert crowded.client.post("/v2/models/half/infer", json=body(1)).status_code == 200
    assert not answer.done()
    assert answer.result().status_code == 200


@pytest.mark.parametrize("address", [INFER, "/v1/models/m:predict", "/api/v1/models/m/prediction"])
def test_a_full_queue_refuses_at_once_before_it_reads_the_call(crowd: Callable[..., Crowded], address: str) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1\nmax_queue = 2")
    answers = [crowded.ask(number) for number in range(3)]
    wait_for(lambda: crowded.repository.get("m").users == 2 * 3)
    for content in (b"", b"[" * 100_000, json.dumps(body(1)).encode()):
        refused = crowded.client.post(address, content=content)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        overloaded = "the model is overloaded: 1 calls run and 2 wait; ask again a little later"
        assert refused.json()["error"] == overloaded
    assert crowded.client.get("/v2/health/ready").status_code == 200
    crowded.plugin.gate.set()
    assert [answer.result().status_code for answer in answers] == [200] * 3
    assert crowded.ask(7).result().status_code == 200


def test_a_full_queue_refuses_before_the_body_has_come_and_the_connection_goes_on(
    crowd: Callable[..., Crowded],
) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1\nmax_queue = 0")
    answer = crowded.ask(1)
    wait_for(lambda: crowded.plugin.seen == {1})
    url, large = crowded.client.base_url, b" " * 100_000
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: m\r\nContent-Length: 100000\r\n\r\n" % INFER.encode())
        assert connection.recv(12) == b"HTTP/1.1 503"
        connection.sendall(large + b"GET /v2/health/live HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"HTTP/1.1 200 OK" in rest
    assert crowded.statistics()["inference_stats"]["fail"]["count"] == 1
    crowded.plugin.gate.set()
    assert answer.result().status_code == 200


def test_what_is_accepted_under_ten_times_the_load_is_answered_and_nothing_else_is_run(
    crowd: Callable[..., Crowded],
) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 2\nmax_queue = 8")
    answers = [crowded.ask(number) for number in range(100)]
    wait_for(lambda: sum(answer.done() for answer in answers) == 90)
    crowded.plugin.gate.set()
    accepted = {number for number, answer in enumerate(answers) if answer.result().status_code == 200}
    assert [answer.result().status_code for answer in answers].count(503) == 90
    assert crowded.plugin.seen == accepted
    assert len(crowded.plugin.batches) == 10


class PassedOn(BaseHTTPMiddleware):
    """It has a ``receive`` of its own, which one task must run from its beginning to its end."""

    @override
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


@pytest.mark.parametrize("around", [(), (PassedOn,)])
def test_the_call_of_a_client_that_goes_away_in_the_queue_is_not_run(
    crowd: Callable[..., Crowded], around: tuple[type[PassedOn], ...]
) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1\nmax_queue = 2", around=around)
    first = crowded.ask(1)
    wait_for(lambda: crowded.plugin.seen == {1})
    with posted(crowded, 2), posted(crowded, 3):
        wait_for(lambda: crowded.repository.get("m").users == 2 * 3)
    wait_for(lambda: crowded.repository.get("m").users == 2)
    fourth = crowded.ask(4)  # for which there is room again
    crowded.plugin.gate.set()
    assert [first.result().status_code, fourth.result().status_code] == [200, 200]
    assert crowded.plugin.seen == {1, 4}
    assert crowded.statistics()["inference_stats"]["fail"]["count"] == 2


def test_a_client_that_goes_away_while_its_call_runs_harms_no_other(
    crowd: Callable[..., Crowded], caplog: pytest.LogCaptureFixture
) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1")
    with posted(crowded, 1):
        wait_for(lambda: crowded.plugin.seen == {1})
    wait_for(lambda: crowded.repository.get("m").users == 1)  # its call alone
    second = crowded.ask(2)
    crowded.plugin.gate.set()
    assert second.result().json()["outputs"][0]["data"] == [4]
    wait_for(lambda: crowded.repository.get("m").users == 0)
    assert "Traceback" not in caplog.text


def test_clients_that_leave_as_their_answer_comes_are_no_error_of_the_server(
    crowd: Callable[..., Crowded], caplog: pytest.LogCaptureFixture
) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 64")
    for number in range(60):
        crowded.plugin.gate.clear()
        with posted(crowded, number):
            wait_for(lambda number=number: number in crowded.plugin.seen)  # type: ignore[misc]  # an argument of the test
            Timer(0.0005 * (number % 4), crowded.plugin.gate.set).start()
            time.sleep(0.0005 * (number % 5))
        wait_for(lambda: crowded.repository.get("m").users == 0)
    assert "Exception in callback" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_deadline_that_ends_in_the_queue_keeps_the_call_from_being_run(crowd: Callable[..., Crowded]) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1", ServerSettings(request_timeout=0.001))
    late = [crowded.ask(number).result() for number in range(3)]
    assert [answer.status_code for answer in late] == [504] * 3
    assert late[0].json() == {"error": "the model did not answer within 0.001 seconds"}
    crowded.plugin.gate.set()
    wait_for(lambda: crowded.repository.get("m").users == 0)
    assert len(crowded.plugin.seen) <= 1  # the first may be late as well, before a thread begins it


def test_the_time_in_the_queue_is_counted(crowd: Callable[..., Crowded]) -> None:
    crowded = crowd("[scheduling]\nmax_concurrency = 1")
    answers = [crowded.ask(1), crowded.ask(2)]
    wait_for(lambda: crowded.repository.get("m").users == 2 * 2)
    time.sleep(0.1)
    crowded.plugin.gate.set()
    assert [answer.result().status_code for answer in answers] == [200, 200]
    stages = crowded.statistics()["inference_stats"]
    assert (stages["queue"]["count"], stages["success"]["count"]) == (2, 2)
    assert stages["queue"]["ns"] >= 100_000_000
    assert (
        sum(stages[stage]["ns"] for stage in ("queue", "compute_input", "compute_infer", "compute_output"))
        == (stages["success"]["ns"])
    )
