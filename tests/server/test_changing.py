"""Models are changed while they are asked, and while others change the same folder."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import httpx
import pytest

from mlbuffet import Runtimes
from mlbuffet.scheduling import Limits
from reloading import BODY, Adds
from uploading import RunApp, Uploading, leftovers, uploading, visible
from waiting import wait_for


@pytest.fixture
def served(tmp_path: Path, run_app: RunApp) -> Iterator[Uploading]:
    """A server that watches its folder as well."""
    with uploading(tmp_path / "models", run_app, watch=True) as served:
        yield served


def clients(served: Uploading) -> httpx.Client:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.Client(base_url=served.client.base_url, timeout=30, limits=limits)


def test_a_removal_with_64_requests_in_flight_answers_them_all(tmp_path: Path, run_app: RunApp) -> None:
    runtime = Adds()
    runtimes = Runtimes()
    runtimes.register(runtime, name="adds")
    begun, may_answer = Barrier(Limits().concurrency + 1), Event()

    def hold() -> None:
        if not may_answer.is_set():
            begun.wait(10)
            may_answer.wait(10)

    with uploading(tmp_path / "models", run_app, runtimes=runtimes) as served:
        assert served.push("m", ("m.add", b"1")).status_code == 201
        version = served.repository.get("m")
        runtime.at_predict = hold
        with clients(served) as client, ThreadPoolExecutor(64) as pool:
            answers = [pool.submit(client.post, "/v2/models/m/infer", json=BODY) for _ in range(64)]
            begun.wait(10)
            wait_for(lambda: version.users == 2 * 64)  # each request has a handle, and its call another
            assert served.client.delete("/api/v1/models/m").status_code == 200
            assert served.client.get("/v2/models/m").status_code == 404
            assert runtime.unloads == 0
            may_answer.set()
            assert [answer.result().status_code for answer in answers] == [200] * 64
        wait_for(lambda: runtime.unloads == 1)
        wait_for(lambda: leftovers(served.root) == [])


def test_changes_fail_no_request_and_what_was_acknowledged_is_there_at_once(served: Uploading) -> None:
    served.push("m")
    failed: list[str] = []
    stop = Event()

    def ask() -> None:
        while not stop.is_set():
            answer = client.post("/v2/models/m/infer", json=BODY)
            if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [7]:
                failed.append(answer.text)

    with clients(served) as client:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                new = served.push("m").json()["version"]
                assert (served.default("m"), str(new) in served.versions("m")) == (new, True)
                (served.root / "other.half").write_text("half")  # something else happens, which is looked at
                old = min(map(int, served.versions("m")))
                assert served.client.post("/api/v1/models/m/default", json={"default": old}).status_code == 200
                assert served.default("m") == old
                assert served.client.delete("/api/v1/models/m:default").json()["version"] == old
                assert (served.default("m"), set(served.versions("m"))) == (new, {str(new)})
                (served.root / "other.half").unlink()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert failed == []


def test_servers_that_share_a_folder_see_what_the_others_change(served: Uploading, run_app: RunApp) -> None:
    with uploading(served.root, run_app, watch=True) as other:
        for _ in range(2):
            assert served.push("m").status_code == 201
        wait_for(lambda: set(other.versions("m")) == {"1", "2"})
        wait_for(lambda: other.default("m") == 2)
        assert other.client.post("/api/v1/models/m/default", json={"default": 1}).status_code == 200
        wait_for(lambda: served.default("m") == 1)
        assert other.push("m").json()["version"] == 3
        wait_for(lambda: served.default("m") == 3)
        assert served.client.delete("/api/v1/models/m:3").status_code == 200
        wait_for(lambda: other.default("m") == 2)
        assert visible(served.root) == ["m/1/model.half", "m/2/model.half"]


def test_servers_that_share_a_folder_give_every_upload_a_number_of_its_own(served: Uploading, run_app: RunApp) -> None:
    with uploading(served.root, run_app, watch=True) as other, ThreadPoolExecutor(8) as pool:
        servers = [served, other] * 4
        versions = list(pool.map(lambda server: server.push("m").json()["version"], servers))
        assert sorted(versions) == list(range(1, 9))
        for server in (served, other):
            wait_for(lambda server=server: len(server.versions("m")) == 8)  # type: ignore[misc]


def test_an_upload_brings_nothing_else_along(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app) as served:
        assert served.push("m").status_code == 201
        for path in ("m/7/x.half", "other/1/x.half"):
            (served.root / path).parent.mkdir(parents=True)
            (served.root / path).write_text("ha")  # somebody still writes it
        assert served.push("m").json()["version"] == 8
        assert [version.version for version in served.repository.versions("m")] == [1, 8]
        assert served.client.get("/api/v1/models").json()["model_list"] == ["m"]


def test_a_version_that_is_put_into_the_folder_is_the_default_unless_one_was_chosen(served: Uploading) -> None:
    served.push("m")
    for version, chosen in ((2, None), (3, 1)):
        if chosen is not None:
            served.client.post("/api/v1/models/m/default", json={"default": chosen})
        aside = served.root / "m" / f".{version}"
        aside.mkdir()
        (aside / "x.half").write_text("half")
        aside.rename(served.root / "m" / str(version))
        wait_for(lambda version=version: str(version) in served.versions("m"))  # type: ignore[misc]
        wait_for(lambda version=version: served.repository.get("m", version).state.value == "READY")  # type: ignore[misc]
        assert served.default("m") == (chosen or version)
