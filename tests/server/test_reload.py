"""Models come, change and go on disk, and no request fails for it."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import httpx
import pytest

from mlbuffet.repository import Residency
from mlbuffet.scheduling import Limits
from reloading import BODY, Reloading, RunApp, reloading, write_whole

THREADS, STEPS = (32, 256) if os.environ.get("MLBUFFET_CAMPAIGN") else (8, 16)
Serve = Callable[..., Reloading]


@pytest.fixture
def serve(tmp_path: Path, run_app: RunApp) -> Iterator[Serve]:
    """A function that serves the folder ``models``, with version 1 of the model ``m``, which adds 1."""
    with ExitStack() as stack:

        def start(residency: Residency | None = None, toml: str = "", **watching: Any) -> Reloading:
            write_whole(tmp_path / "models/m/1/x.add", "1")
            (tmp_path / "models/m/model.toml").write_text(toml)
            return stack.enter_context(reloading(tmp_path / "models", run_app, residency, **watching))

        yield start


def infer(served: Reloading, model: str = "m") -> tuple[int, object]:
    answer = served.client.post(f"/v2/models/{model}/infer", json=BODY)
    return answer.status_code, answer.json()["outputs"][0]["data"][0] if answer.status_code == 200 else answer.text


@pytest.mark.parametrize("more", ["", "[cache]"], ids=["each call computed", "with a cache"])
def test_reloads_under_load_fail_no_request(serve: Serve, more: str) -> None:
    served = serve(toml=f'versions = "latest"\n{more}')
    with served.under_load(lambda version: 11 if version % 2 else 12):
        for number in range(2, 22):
            corrupt = number % 10 == 0
            served.publish(f"m/{number}/x.add", "corrupt" if corrupt else "1" if number % 2 else "2")
            state = "UNAVAILABLE" if corrupt else "READY"
            served.wait_for(lambda n=str(number), s=state: served.states("m").get(n) == s)  # type: ignore[misc]
            served.remove(f"m/{number - 1}")
    assert served.failed == []
    assert len(served.answers) >= 15
    served.wait_for(lambda: set(served.states("m")) == {"21"})
    served.wait_for(lambda: served.runtime.unloads == 18)


def test_a_corrupt_new_version_leaves_the_old_one_and_is_tried_again_with_pauses(serve: Serve) -> None:
    served = serve(toml='versions = "latest"')
    with served.under_load(lambda version: 11):
        served.publish("m/2/x.add", "corrupt")
        served.wait_for(lambda: served.runtime.loads["m"] == 3)  # 2 was tried twice
        served.wait_for(lambda: served.states("m")["2"] != "LOADING")
        assert served.states("m") == {"1": "READY", "2": "UNAVAILABLE"}
        (reason,) = [one["reason"] for one in served.client.post("/v2/repository/index").json() if "reason" in one]
        assert reason.startswith("the model cannot be loaded: the runtime refused it")
        time.sleep(0.5)
        assert served.runtime.loads["m"] == 3
    assert served.failed == []
    assert set(served.answers) == {1}
    (served.root / "m/2/x.add").write_text("2")
    served.wait_for(lambda: infer(served) == (200, 12))


def reasons(served: Reloading) -> dict[str, str]:
    """By model, what the index says beside its state."""
    entries = served.client.post("/v2/repository/index").json()
    return {one["name"]: one["reason"] for one in entries if "reason" in one}


def test_a_wrong_configuration_is_told_beside_the_older_one_that_is_served_until_it_is_mended(serve: Serve) -> None:
    served = serve()
    (served.root / "m/model.toml").write_text("versons = 3")
    served.wait_for(lambda: "the model's model.toml is wrong" in reasons(served).get("m", ""))
    assert infer(served) == (200, 11)
    (served.root / "m/model.toml").unlink()
    served.wait_for(lambda: "m" not in reasons(served))


def test_new_content_under_an_old_number_replaces_it_and_corrupt_content_does_not(serve: Serve) -> None:
    served = serve()
    with served.under_load(lambda version: 11):
        (served.root / "m/1/x.add").write_text("corrupt")
        served.wait_for(lambda: served.runtime.loads["m"] == 2)
    assert served.failed == []
    assert served.states("m") == {"1": "READY"}
    wanted = "its older content is served, and not the new one: the model cannot be loaded: the runtime refused it"
    served.wait_for(lambda: wanted in reasons(served).get("m", ""))
    assert wanted in served.client.get("/api/v1/models/m/information").json()["tag_list_versions"]["1"]["reason"]
    (served.root / "m/1/x.add").write_text("7")
    served.wait_for(lambda: infer(served) == (200, 17))
    assert "m" not in reasons(served)
    served.wait_for(lambda: served.runtime.unloads == 1)


def test_a_version_that_is_written_byte_by_byte_is_loaded_when_it_is_still(serve: Serve) -> None:
    served = serve()
    (served.root / "m/2").mkdir()
    with (served.root / "m/2/x.add").open("w") as file:
        for digit in "12345":
            file.write(digit)
            file.flush()
            time.sleep(0.3)
            assert served.states("m") == {"1": "READY"}
    served.wait_for(lambda: infer(served) == (200, 12355))
    assert served.runtime.loads["m"] == 2


def test_models_come_and_go_and_a_wrong_configuration_touches_its_model_alone(serve: Serve) -> None:
    served = serve()
    served.publish("new.add", "5")
    served.wait_for(lambda: infer(served, "new") == (200, 15))
    (served.root / "m/model.toml").write_text("versons = 3")
    served.publish("other/3/x.add", "6")
    served.wait_for(lambda: infer(served, "other") == (200, 16))
    (served.root / "new.add").unlink()
    served.wait_for(lambda: infer(served, "new")[0] == 404)
    assert infer(served) == (200, 11)
    (served.root / "m/model.toml").write_text("[labels]\nstable = 1")
    address = "/v1/models/m/labels/stable:predict"
    served.wait_for(lambda: served.client.post(address, json={"instances": [1]}).status_code == 200)
    assert served.client.post(address, json={"instances": [1]}).json() == {"predictions": [2]}
    assert served.client.get("/v1/models/m/labels/lost").status_code == 400


def test_a_file_system_without_events_is_looked_through(serve: Serve) -> None:
    served = serve(events=False, poll=0.5)
    served.publish("new.add", "5")
    served.wait_for(lambda: infer(served, "new") == (200, 15))


def test_a_root_that_is_gone_changes_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(poll=0.3)
    served.root.rename(served.root.with_name("away"))
    served.wait_for(lambda: "the models stay as they were" in caplog.text)
    time.sleep(1.5)
    assert infer(served) == (200, 11)
    served.root.with_name("away").rename(served.root)
    served.publish("new.add", "5")
    served.wait_for(lambda: infer(served, "new") == (200, 15))


def test_a_delete_with_64_requests_in_flight_answers_them_all(serve: Serve) -> None:
    served = serve()
    begun, may_answer = Barrier(Limits().concurrency + 1), Event()

    def hold() -> None:
        if not may_answer.is_set():
            begun.wait(10)
            may_answer.wait(10)

    served.runtime.at_predict = hold
    version = served.repository.get("m")
    with served.many_clients() as client, ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(client.post, "/v2/models/m/infer", json=BODY) for _ in range(64)]
        begun.wait(10)
        served.wait_for(lambda: version.users == 2 * 64)  # each request has a handle, and its call another
        served.remove("m")
        served.wait_for(lambda: served.client.get("/v2/models/m").status_code == 404)
        assert served.runtime.unloads == 0
        may_answer.set()
        assert [answer.result().status_code for answer in answers] == [200] * 64
    served.wait_for(lambda: served.runtime.unloads == 1)


def test_200_first_requests_to_a_lazy_model_load_it_once(serve: Serve) -> None:
    served = serve(Residency(lazy=True))
    served.publish("other.add", "5")
    served.wait_for(lambda: served.client.get("/v2/models/other/ready").status_code == 200)
    assert served.client.get("/v2/health/ready").status_code == 200
    assert not served.runtime.loads
    may_load = Event()
    served.runtime.at_load = lambda: may_load.wait(10)
    with served.many_clients() as client, ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(client.post, "/v2/models/m/infer", json=BODY) for _ in range(200)]
        served.wait_for(lambda: bool(served.runtime.loads))
        assert served.client.get("/v2/health/live").status_code == 200
        time.sleep(0.5)
        may_load.set()
        assert [answer.result().status_code for answer in answers] == [200] * 200
    assert served.runtime.loads == {"m": 1}


def test_the_least_recently_used_model_makes_room(serve: Serve) -> None:
    served = serve(Residency(max_loaded=2))
    for name in "bc":
        served.publish(f"{name}.add", "5")
        served.wait_for(lambda name=name: served.client.get(f"/v2/models/{name}/ready").status_code == 200)  # type: ignore[misc]
    for name in ("m", "b", "m", "c", "m"):
        assert infer(served, name)[0] == 200
    assert (served.states("b"), served.states("m")) == ({"1": "UNAVAILABLE"}, {"1": "READY"})
    assert infer(served, "b") == (200, 15)
    assert served.runtime.loads == {"m": 1, "b": 2, "c": 1}
    served.wait_for(lambda: served.runtime.unloads == 2)


def test_the_sizes_of_files_are_a_limit_too(serve: Serve) -> None:
    served = serve(Residency(max_memory=5))
    for name, size in {"b": 4, "c": 1}.items():
        served.publish(f"{name}.add", "0" * size)
        served.wait_for(lambda name=name: served.client.get(f"/v2/models/{name}/ready").status_code == 200)  # type: ignore[misc]
    for name in "mbc":
        assert infer(served, name)[0] == 200
    assert served.states("m") == {"1": "UNAVAILABLE"}
    assert (served.states("b"), served.states("c")) == ({"1": "READY"}, {"1": "READY"})


def test_many_threads_that_load_and_unload_one_model_get_documented_answers(serve: Serve) -> None:
    served = serve()
    statuses: list[int] = []

    def change(index: int) -> None:
        with httpx.Client(base_url=served.client.base_url, timeout=30) as client:
            for step in range(STEPS):
                what = "load" if (index + step) % 2 else "unload"
                statuses.append(client.post(f"/v2/repository/models/m/{what}").status_code)
                statuses.append(client.post("/v2/models/m/infer", json=BODY).status_code)

    threads = [Thread(target=change, args=[index]) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 503}
    assert served.client.post("/v2/repository/models/m/load").status_code == 200
    assert infer(served) == (200, 11)
    assert served.client.post("/v2/repository/models/m/unload").status_code == 200
    assert infer(served)[0] == 503
    assert served.runtime.loads["m"] == served.runtime.unloads


@pytest.mark.parametrize("moved", ["..data", "current"])
def test_a_link_that_moves_is_followed_without_a_request_that_fails(
    tmp_path: Path, run_app: RunApp, moved: str
) -> None:
    """``..data`` is how Kubernetes changes a ConfigMap, and a root that is a link how git-sync changes a repository."""
    for name, text in (("1a2b", "1"), ("3c4d", "2")):
        write_whole(tmp_path / f"..{name}/m/1/x.add", text)
        os.utime(tmp_path / f"..{name}/m/1/x.add", (0, 0))
    link = tmp_path / moved
    link.symlink_to("..1a2b")
    root = link
    if moved == "..data":
        (root := tmp_path / "models").mkdir()
        (root / "m").symlink_to("../..data/m")
    with reloading(root, run_app, poll=0.2) as served:
        answers = [infer(served)]

        def changed() -> bool:
            answers.append(infer(served))
            return answers[-1] == (200, 12)

        (tmp_path / ".new").symlink_to("..3c4d")
        (tmp_path / ".new").rename(link)
        served.wait_for(changed)
        assert set(answers) == {(200, 11), (200, 12)}
        assert served.states("m") == {"1": "READY"}
