"""With a ``[cache]`` a model is asked once, and nobody can tell by the answers."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import numpy as np
import pytest

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.caching import MemoryCache, PredictionCache, RedisCache
from mlbuffet.caching.redis import LONGEST_WAIT
from mlbuffet.server import create_app
from redis_server import RedisServer, redis_server
from reloading import BODY, Reloading, RunApp, reloading, write_whole
from small_runtimes import repository_of

KEPT = "[cache]\n"


@pytest.fixture
def start(tmp_path: Path, run_app: RunApp) -> Iterator[Callable[..., Reloading]]:
    """A function that serves the model ``m``, which adds 1, with a configuration."""
    with ExitStack() as stack:

        def started(toml: str = KEPT, cache: PredictionCache | None = None) -> Reloading:
            write_whole(tmp_path / "models/m/1/x.add", "1")
            (tmp_path / "models/m/model.toml").write_text(toml)
            return stack.enter_context(reloading(tmp_path / "models", run_app, cache=cache))

        yield started


def count_calls(served: Reloading, then: Callable[[], object] = int) -> list[None]:
    """A list that becomes longer with each call of the model."""
    calls: list[None] = []

    def call() -> None:
        calls.append(None)
        then()

    served.runtime.at_predict = call
    return calls


def ask(served: Reloading, x: float = 10, name: str = "m") -> Any:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [x]}
    answer = served.client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    return answer.json()["outputs"][0]["data"][0] if answer.status_code == 200 else answer.status_code


def test_equal_calls_reach_the_model_once_and_others_each(start: Callable[..., Reloading]) -> None:
    served = start()
    calls = count_calls(served)
    assert [ask(served, x) for x in (10, 10, 11, 10, 11)] == [11, 11, 12, 11, 12]
    assert served.client.post("/v1/models/m:predict", json={"instances": [10]}).json() == {"predictions": [11]}
    assert served.client.post("/api/v1/models/m/prediction", json={"values": [10]}).json()["values"] == [11]
    assert len(calls) == 2
    computed, kept = (served.client.post("/api/v1/models/m/prediction", json={"values": [-0.1]}) for _ in range(2))
    assert (computed.content, len(calls)) == (kept.content, 3)


def test_without_a_cache_each_call_reaches_the_model(start: Callable[..., Reloading]) -> None:
    served = start("")
    calls = count_calls(served)
    assert [ask(served) for _ in range(3)] == [11] * 3
    assert len(calls) == 3


def test_equal_calls_at_once_compute_once(start: Callable[..., Reloading]) -> None:
    served = start()
    may_answer = Event()
    calls = count_calls(served, lambda: may_answer.wait(10))
    with served.many_clients() as client, ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(client.post, "/v2/models/m/infer", json=BODY) for _ in range(64)]
        served.wait_for(lambda: served.repository.get("m").users >= 64)
        may_answer.set()
        assert {answer.result().json()["outputs"][0]["data"][0] for answer in answers} == {11}
    assert len(calls) == 1


@pytest.mark.parametrize("leaver", [0, 1], ids=["who asked first", "who joined"])
def test_one_who_goes_away_leaves_the_other_an_answer(start: Callable[..., Reloading], leaver: int) -> None:
    served = start()
    may_answer = Event()
    calls = count_calls(served, lambda: may_answer.wait(10))
    version = served.repository.get("m")
    with served.many_clients() as client, ThreadPoolExecutor(2) as pool:
        answers = []
        for number in range(2):
            seconds = 0.5 if number == leaver else 30
            answers.append(pool.submit(client.post, "/v2/models/m/infer", json=BODY, timeout=seconds))
            served.wait_for(lambda users=number + 3: version.users == users)  # type: ignore[misc]  # two who compute
        with pytest.raises(httpx.ReadTimeout):
            answers[leaver].result()
        served.wait_for(lambda: version.users == 3)
        may_answer.set()
        assert answers[1 - leaver].result().json()["outputs"][0]["data"] == [11]
    assert len(calls) == 1
    served.wait_for(lambda: version.users == 0)


def test_a_call_for_which_nobody_waits_does_not_reach_the_model(start: Callable[..., Reloading]) -> None:
    served = start(KEPT + "[scheduling]\nmax_concurrency = 1\n")
    may_answer = Event()
    calls = count_calls(served, lambda: may_answer.wait(10))
    with served.many_clients() as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, served, 1)
        served.wait_for(lambda: len(calls) == 1)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v2/models/m/infer", json=BODY, timeout=0.3)
        served.wait_for(lambda: served.repository.get("m").users == 3)  # the first request and who computes it
        may_answer.set()
        assert first.result() == 2
    served.wait_for(lambda: served.repository.get("m").users == 0)
    assert len(calls) == 1


def test_a_failure_is_not_kept(start: Callable[..., Reloading]) -> None:
    served = start()

    def fail() -> None:
        raise ValueError("once")

    calls = count_calls(served, fail)
    assert [ask(served) for _ in range(2)] == [500, 500]
    assert len(calls) == 2
    count_calls(served)
    assert ask(served) == 11


def test_nothing_is_stale_after_a_reload_a_roll_back_and_a_delete(start: Callable[..., Reloading]) -> None:
    served = start('versions = "latest"\n' + KEPT)
    assert ask(served) == 11
    (served.root / "m/1/x.add").write_text("5")
    served.wait_for(lambda: ask(served) == 15)
    served.publish("m/2/x.add", "7")
    served.wait_for(lambda: ask(served) == 17)
    served.remove("m/2")
    served.wait_for(lambda: ask(served) == 15)
    (served.root / "m/1/x.add").write_text("1")
    calls = count_calls(served)
    served.wait_for(lambda: ask(served) == 11)
    assert not [None for _ in range(2) if ask(served) != 11]
    assert not calls  # that content has answered before
    served.publish("m/2/x.add", "9")
    served.wait_for(lambda: ask(served) == 19)
    served.remove("m")
    served.wait_for(lambda: ask(served) == 404)
    served.publish("m/2/x.add", "4")
    served.wait_for(lambda: ask(served) == 14)


def test_equal_content_under_two_names_is_asked_under_each(start: Callable[..., Reloading]) -> None:
    served = start()
    served.publish("n/1/x.add", "1")
    (served.root / "n/model.toml").write_text(KEPT)
    served.wait_for(lambda: ask(served, name="n") == 11)
    served.wait_for(lambda: served.repository.get("n").configuration.cache is not None)
    calls = count_calls(served)
    assert [ask(served, 3, "m"), ask(served, 3, "n"), ask(served, 3, "n")] == [4, 4, 4]
    assert len(calls) == 2


def test_turning_it_on_takes_effect_under_watch(start: Callable[..., Reloading]) -> None:
    served = start("")
    assert ask(served) == 11
    (served.root / "m/model.toml").write_text(KEPT)
    served.wait_for(lambda: served.repository.get("m").configuration.cache is not None)
    calls = count_calls(served)
    assert [ask(served, 3) for _ in range(3)] == [4] * 3
    assert len(calls) == 1


def test_an_answer_is_computed_again_when_its_time_is_up(start: Callable[..., Reloading]) -> None:
    served = start("[cache]\nseconds = 0.2")
    calls = count_calls(served)
    assert [ask(served) for _ in range(2)] == [11, 11]
    time.sleep(0.25)
    assert ask(served) == 11
    assert 2 <= len(calls) <= 3


def test_statistics_and_metrics_tell_hits_from_misses(start: Callable[..., Reloading]) -> None:
    served = start()
    for x in (1, 1, 2, 1):
        ask(served, x)
    (stats,) = served.client.get("/v2/models/m/stats").json()["model_stats"]
    counts = {stage: duration["count"] for stage, duration in stats["inference_stats"].items()}
    assert (stats["inference_count"], stats["execution_count"]) == (4, 2)
    assert counts == {
        "success": 4,
        "fail": 0,
        "compute_input": 4,
        "compute_infer": 2,
        "compute_output": 4,
        "queue": 2,
        "cache_hit": 2,
        "cache_miss": 2,
    }
    assert stats["inference_stats"]["cache_hit"]["ns"] > 0
    text = served.client.get("/metrics").text
    assert 'mlbuffet_cache_hits_total{model="m"} 2.0' in text
    assert 'mlbuffet_cache_misses_total{model="m"} 2.0' in text
    assert "mlbuffet_cache_entries 2.0" in text
    served.remove("m")
    served.wait_for(lambda: 'model="m"' not in served.client.get("/metrics").text)


DTYPES = ["bool", "uint8", "int64", "float32", "float64", "object"]


def values_of(dtype: str) -> np.ndarray:
    match np.dtype(dtype).kind:
        case "b":
            return np.array([[True, False], [False, False]])
        case "i" | "u":
            return np.array([[np.iinfo(dtype).min, 1], [2, np.iinfo(dtype).max]], dtype)
        case "f":
            return np.array([[np.nan, -0.0], [np.inf, 0.1]], dtype)
        case _:
            return np.array([["é\0".encode(), b""], [b"b", b"c"]], object)


def requests(name: str, dtype: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Addresses and arguments with which a model is asked for one thing in many ways."""
    x = values_of(dtype)
    plain = [[item.decode() for item in row] for row in x] if dtype == "object" else x.tolist()
    kind = {"bool": "BOOL", "uint8": "UINT8", "int64": "INT64", "float32": "FP32", "float64": "FP64", "object": "BYTES"}
    tensor = {"name": "x", "shape": [2, 2], "datatype": kind[dtype]}
    buffer = b"".join(len(one).to_bytes(4, "little") + one for one in x.flat) if dtype == "object" else x.tobytes()
    named = {"parameters": {"signature_name": dtype}}
    sized = json.dumps({**named, "inputs": [{**tensor, "parameters": {"binary_data_size": len(buffer)}}]}).encode()
    binary = json.dumps(
        {"inputs": [{**tensor, "data": plain}], "parameters": {"signature_name": dtype, "binary_data_output": True}}
    ).encode()
    infer, predict = f"/v2/models/{name}/infer", f"/v1/models/{name}:predict"
    rows = json.dumps({"signature_name": dtype, "instances": plain}).encode()
    columns = json.dumps({"signature_name": dtype, "inputs": {"x": plain}}).encode()
    length = {"Inference-Header-Content-Length": str(len(sized))}
    return {
        "v2 JSON": (infer, {"content": json.dumps({**named, "inputs": [{**tensor, "data": plain}]}).encode()}),
        "v2 raw in": (infer, {"content": sized + buffer, "headers": length}),
        "v2 raw out": (infer, {"content": binary}),
        "v1 rows": (predict, {"content": rows}),
        "v1 columns": (predict, {"content": columns}),
    }


@pytest.fixture(scope="module")
def echoes(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    """A server of the model ``plain``, and of ``kept``, which has a cache."""
    root = tmp_path_factory.mktemp("models")
    for name in ("plain", "kept"):
        (root / name).mkdir()
        (root / name / "model.echo").write_text(" ".join(DTYPES))
    (root / "kept/model.toml").write_text(KEPT)
    with serve(root) as client:
        yield client


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", requests("m", "bool"))
def test_an_answer_has_the_same_bits_with_and_without_a_cache(echoes: httpx.Client, way: str, dtype: str) -> None:
    address, arguments = requests("plain", dtype)[way]
    plain = echoes.post(address, **arguments)
    assert plain.status_code == 200, plain.text
    address, arguments = requests("kept", dtype)[way]
    for _ in range(2):
        kept = echoes.post(address, **arguments)
        assert kept.content.replace(b'"kept"', b'"plain"') == plain.content
        ignored = {"date", "x-request-id", "content-length", "inference-header-content-length"}
        assert {k: v for k, v in kept.headers.items() if k not in ignored} == {
            k: v for k, v in plain.headers.items() if k not in ignored
        }


def test_what_is_refused_without_a_cache_is_refused_with_one(echoes: httpx.Client) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    wrong: list[dict[str, Any]] = [
        {"inputs": [tensor]},
        {"inputs": [{**tensor, "name": "z"}], "parameters": {"signature_name": "float32"}},
        {"inputs": [tensor], "parameters": {"signature_name": "float64"}},
        {"inputs": [tensor], "parameters": {"signature_name": "float32"}, "outputs": [{"name": "z"}]},
        {"inputs": [tensor], "parameters": {"signature_name": "float32"}, "outputs": [{"name": "x"}, {"name": "x"}]},
    ]
    for body in wrong:
        answers = [echoes.post(f"/v2/models/{name}/infer", json=body) for name in ("plain", "kept")]
        assert answers[0].status_code == 400
        assert answers[0].json() == answers[1].json()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def shared(redis: RedisServer, longest_wait: float = LONGEST_WAIT) -> PredictionCache:
    return PredictionCache(MemoryCache(), RedisCache(redis.url, longest_wait))


def connected(served: Reloading) -> bool:
    shared = served.repository.cache.redis
    return shared is not None and shared.answers


def test_two_servers_share_what_they_computed(
    start: Callable[..., Reloading], redis: RedisServer, tmp_path: Path, run_app: RunApp
) -> None:
    first = start(cache=shared(redis, longest_wait=5))  # the machine may be busy with other tests
    first.wait_for(lambda: connected(first))
    write_whole(tmp_path / "others/m/1/x.add", "1")
    write_whole(tmp_path / "others/m/2/x.add", "2")
    (tmp_path / "others/m/model.toml").write_text(KEPT)
    with reloading(tmp_path / "others", run_app, cache=shared(redis, longest_wait=5)) as second:
        second.wait_for(lambda: connected(second))
        assert ask(first) == 11
        first.wait_for(lambda: redis.ask(b"DBSIZE") == b":1")
        calls = count_calls(second)
        body = second.client.post("/v2/models/m/versions/1/infer", json=BODY).json()
        assert (body["outputs"][0]["data"], len(calls)) == ([11], 0)
        assert (ask(second), len(calls)) == (12, 1)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_redis_that_dies_or_freezes_costs_no_request(
    start: Callable[..., Reloading], redis: RedisServer, fault: signal.Signals
) -> None:
    served = start(cache=shared(redis))
    served.wait_for(lambda: connected(served))
    with served.many_clients() as client, ThreadPoolExecutor(8) as pool:

        def post(x: int) -> int:
            tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [x]}
            answer = client.post("/v2/models/m/infer", json={"inputs": [tensor]})
            assert answer.status_code == 200
            return int(answer.json()["outputs"][0]["data"][0]) - x

        before = pool.map(post, range(100))
        assert set(before) == {1}
        os.kill(redis.process.pid, fault)
        assert set(pool.map(post, range(50, 250))) == {1}
        assert not connected(served)
        assert set(pool.map(post, range(1000, 1200))) == {1}
        os.kill(redis.process.pid, signal.SIGCONT)


class Doubles:
    """Whole numbers as they are, and others."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".double"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        forms = [[TensorSpec(name, dtype, (None,)) for name in "xy"] for dtype in ("int32", "float32")]
        return Signatures({"serving_default": Signature.of_variants([Signature([x], [y]) for x, y in forms])})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] * 2}


def test_a_function_of_several_dtypes_is_kept_for_each(tmp_path: Path, run_app: RunApp) -> None:
    runtimes, loaded = Runtimes(), Event()
    runtimes.register(Doubles, name="doubles")
    (tmp_path / "m").mkdir()
    (tmp_path / "m/x.double").touch()
    (tmp_path / "m/model.toml").write_text(KEPT)
    repository = repository_of(tmp_path / "m", runtimes)
    with run_app(create_app(repository, on_loaded=loaded.set)) as client:
        assert loaded.wait(120)
        for value, doubled in ((b"3", "6"), (b"3.0", "6.0"), (b"1.5", "3.0")) * 2:
            answer = client.post("/v1/models/m:predict", content=b'{"instances": [%b]}' % value)
            assert answer.text == f'{{"predictions":[{doubled}]}}'
    assert repository.cache.hits["m"] == 3
