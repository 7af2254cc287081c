"""/metrics counts each request once, and nothing but what the repository has gets a series."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from faults import FAULTS, LIMIT, exchange
from mlbuffet.server import ServerSettings

X = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
GOOD = {"inputs": [X]}
LABELS = ("protocol", "model", "version", "code", "state")


@pytest.fixture
def client(tmp_path: Path, serve: Callable[..., AbstractContextManager[httpx.Client]]) -> Iterator[httpx.Client]:
    (tmp_path / "half.half").write_text("half")
    (tmp_path / "bad.half").write_text("corrupt")
    with serve(tmp_path, ServerSettings(allow_changes=True)) as client:
        yield client


@pytest.fixture(scope="module")
def faulty(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    """A client of the server that the faults are for."""
    models = tmp_path_factory.mktemp("models")
    for name, text in {"half.half": "half", "bad.half": "corrupt", "echo.echo": "float32 float64 object"}.items():
        (models / name).write_text(text)
    with serve(models, ServerSettings(max_body=LIMIT, allow_changes=True)) as client:
        yield client


def families(client: httpx.Client) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}


def samples(client: httpx.Client, name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """The samples called ``name``, by the values of their other labels."""
    found = {}
    for family in families(client).values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                found[tuple(sample.labels[one] for one in LABELS if one in sample.labels.keys() - labels)] = (
                    sample.value
                )
    return found


def requests(client: httpx.Client) -> dict[tuple[str, ...], float]:
    return samples(client, "mlbuffet_requests_total")


def test_requests_are_counted_by_protocol_model_version_and_status(client: httpx.Client) -> None:
    for _ in range(3):
        client.post("/v2/models/half/infer", json=GOOD).raise_for_status()
    client.post("/v2/models/half/versions/1/infer", json={"inputs": [{**X, "data": [666]}]})
    client.post("/v2/models/half/infer", json={"inputs": []})
    client.post("/v1/models/half:predict", json={"instances": [1]}).raise_for_status()
    client.post("/api/v1/models/half/prediction", json={"values": [1]}).raise_for_status()
    client.get("/api/v1/models/half/information").raise_for_status()
    client.post("/V1/models/bad:predict", json={"instances": [1]})
    client.post("/v2/models/lost/infer", json=GOOD)
    client.get("/docs").raise_for_status()
    assert requests(client) == {
        ("v2", "half", "1", "200"): 3,
        ("v2", "half", "1", "500"): 1,
        ("v2", "half", "1", "400"): 1,
        ("v1", "half", "1", "200"): 1,
        ("api", "half", "1", "200"): 1,
        ("api", "", "", "200"): 1,
        ("v1", "bad", "1", "503"): 1,
        ("v2", "", "", "404"): 1,
        ("other", "", "", "200"): 1,
    }


def test_durations_are_a_histogram(client: httpx.Client) -> None:
    for _ in range(5):
        client.post("/v2/models/half/infer", json=GOOD).raise_for_status()
    of_half = {"protocol": "v2", "model": "half", "version": "1"}
    found = (one for family in families(client).values() for one in family.samples)
    buckets = [one.value for one in found if one.name.endswith("_bucket") and of_half.items() <= one.labels.items()]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 5
    assert samples(client, "mlbuffet_request_seconds_count", **of_half) == {(): 5}
    assert 0 < samples(client, "mlbuffet_request_seconds_sum", **of_half)[()] < 5


def test_loads_and_states_are_told(client: httpx.Client) -> None:
    assert samples(client, "mlbuffet_loads_total")["half", "1", "READY"] == 1
    assert samples(client, "mlbuffet_loads_total")["bad", "1", "FAILED"] >= 1
    assert samples(client, "mlbuffet_versions", state="READY") == {(): 1}
    assert samples(client, "mlbuffet_versions", state="UNAVAILABLE") == {(): 0}
    assert set(samples(client, "mlbuffet_load_seconds")) == {("half", "1"), ("bad", "1")}
    client.post("/v2/repository/models/half/unload").raise_for_status()
    client.post("/v2/repository/models/half/load").raise_for_status()
    assert samples(client, "mlbuffet_loads_total")["half", "1", "READY"] == 2


def test_what_waits_and_what_runs_is_told(
    tmp_path: Path, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> None:
    (tmp_path / "nap").mkdir()
    (tmp_path / "nap/model.sleep").touch()
    (tmp_path / "nap/model.toml").write_text("[scheduling]\nmax_concurrency = 1")
    with serve(tmp_path) as client, ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.post, "/v1/models/nap:predict", json={"inputs": 0.5}) for _ in range(3)]
        seen = set()
        while not all(one.done() for one in asked):
            running, waiting = (samples(client, f"mlbuffet_calls_{what}") for what in ("running", "waiting"))
            seen.add((running["nap", "1"], waiting["nap", "1"]))
    assert {(1, 2), (1, 1), (1, 0)} <= seen


def test_the_rows_of_batches_are_a_histogram(
    tmp_path: Path, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half/model.half").write_text("half")
    (tmp_path / "half/model.toml").write_text("[batching]\nmax_size = 4\nmax_delay_ms = 60000")
    with serve(tmp_path, ServerSettings(allow_changes=True)) as client, ThreadPoolExecutor(2) as pool:
        rows = [{"inputs": {"x": [1, 2, 3]}}, {"inputs": {"x": [4]}}]
        answers = [pool.submit(client.post, "/v1/models/half:predict", json=body) for body in rows]
        assert [answer.result().status_code for answer in answers] == [200, 200]
        assert samples(client, "mlbuffet_batch_rows_sum") == {("half", "1"): 4}
        assert samples(client, "mlbuffet_batch_rows_count") == {("half", "1"): 1}
        assert samples(client, "mlbuffet_batch_rows_bucket", le="2.0") == {("half", "1"): 0}
        assert samples(client, "mlbuffet_batch_rows_bucket", le="4.0") == {("half", "1"): 1}
        for _ in range(2):  # batches of a model that was unloaded stay counted, whether anybody asked before or not
            client.post("/v2/repository/models/half/unload").raise_for_status()
            client.post("/v2/repository/models/half/load").raise_for_status()
            answers = [pool.submit(client.post, "/v1/models/half:predict", json=body) for body in rows]
            assert [answer.result().status_code for answer in answers] == [200, 200]
        assert samples(client, "mlbuffet_batch_rows_count") == {("half", "1"): 3}
        assert samples(client, "mlbuffet_batch_rows_sum") == {("half", "1"): 12}


def test_every_metric_is_documented(client: httpx.Client) -> None:
    text = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    ours = {one for one in families(client) if one.startswith("mlbuffet_")}
    assert len(ours) > 10
    assert [one for one in ours if f"`{one}`" not in text and f"`{one}_total`" not in text] == []


def test_names_that_clients_make_up_get_no_series(client: httpx.Client) -> None:
    client.get("/v2/models/name0")
    client.get("/v1/models/name0")
    client.get("/metrics")
    before = {line.rpartition(" ")[0] for line in client.get("/metrics").text.splitlines()}
    for number in range(300):
        assert client.get(f"/v2/models/name{number}").status_code == 404
        assert client.get(f"/v1/models/name{number}").status_code == 404
        assert client.get(f"/name{number}").status_code == 404
        assert client.get(f"/v2/models/half/versions/{number + 2}").status_code == 404
    after = {line.rpartition(" ")[0] for line in client.get("/metrics").text.splitlines()}
    assert {line.partition("{")[0] for line in after ^ before} <= {
        "mlbuffet_requests_total",
        "mlbuffet_request_seconds_bucket",
        "mlbuffet_request_seconds_count",
        "mlbuffet_request_seconds_sum",
    }
    assert not any("name" in line or 'version="2"' in line for line in after)
    assert len(after - before) == 1  # of "other", there are 404 now


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_counted_once_with_its_status(faulty: httpx.Client, name: str) -> None:
    before = requests(faulty)
    status, _, _ = exchange(faulty.base_url.host, faulty.base_url.port or 0, FAULTS[name][0])
    asked = 0
    counted: dict[str, float] = {}
    while not counted and asked < 100:  # the client may have its answer before it is counted
        after = requests(faulty)
        asked += 1
        more = {key: after[key] - before.get(key, 0) for key in after}
        more["other", "", "", "200"] -= asked  # the questions of this test itself
        counted = {key[-1]: number for key, number in more.items() if number}
    assert counted == {str(status): 1}


@pytest.mark.parametrize("path", ["/metrics", "/monitoring/prometheus/metrics"])
def test_the_text_is_what_the_reader_asks_for(client: httpx.Client, path: str) -> None:
    plain = client.get(path)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {"process_resident_memory_bytes", "mlbuffet_cache_bytes"} <= {
        one.name for one in text_string_to_metric_families(plain.text)
    }
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert {"mlbuffet_requests"} <= {one.name for one in open_metrics(client.get(path, headers=accept).text)}  # type: ignore[no-untyped-call]
