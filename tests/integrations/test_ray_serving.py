"""What clients do on a cluster of Ray that concerns its processes: errors, versions, orders, uploads, statistics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from small_runtimes import small_runtimes, write_models
from waiting import wait_for

pytest.importorskip("ray")

from mlbuffet.server import ServerSettings
from ray_cluster import RayCluster, ray_cluster
from ray_serving import is_ready, options_of

TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
OWN = "[replicas]\nmin = 2\nnum_cpus = 0\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "own/1/x.half": "half",
        "own/2/x.half": "half",
        "own/model.toml": f"labels = {{ first = 1 }}\n{OWN}",
        "bad/1/x.half": "no",
        "bad/model.toml": OWN,
        "shared/1/x.half": "half",
        "slow/1/x.sleep": "",
        "slow/model.toml": f"{OWN}[scheduling]\nmax_concurrency = 1\nmax_queue = 1\n",
    }
    return write_models(tmp_path_factory.mktemp("models"), files)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: RayCluster, models: Path) -> Iterator[httpx.Client]:
    options = options_of(ServerSettings(allow_changes=True, request_timeout=20), small_runtimes())
    cluster.run(models, **{**options, "replicas": None, "front": {"min": 2, "num_cpus": 0}})
    with httpx.Client(base_url=cluster.url, timeout=60) as client:
        wait_for(lambda: is_ready(client), 120)
        yield client


def infer(client: httpx.Client, model: str, value: float = 1, version: str = "") -> Any:
    body = {"inputs": [{**TENSOR, "data": [value]}]}
    return client.post(f"/v2/models/{model}{version}/infer", json=body)


def test_a_model_with_replicas_has_a_deployment_of_its_own(cluster: RayCluster, client: httpx.Client) -> None:
    deployed = [one.deployment for one in cluster.replicas()]
    assert sorted(deployed) == ["_directory", "_front", "_front", "bad", "bad", "own", "own", "slow", "slow"]


@pytest.mark.parametrize("model", ["own", "shared"])
def test_answers_and_errors_are_those_of_a_server(client: httpx.Client, model: str) -> None:
    assert infer(client, model).json()["outputs"][0]["data"] == [2.5]
    failed = infer(client, model, 666)
    assert (failed.status_code, failed.json()["error"]) == (
        500,
        "the model failed to compute signature 'serving_default'; the server's log has the cause",
    )
    wrong = client.post(f"/v2/models/{model}/infer", json={"inputs": [{**TENSOR, "name": "z"}]})
    assert (wrong.status_code, wrong.json()["error"]) == (
        400,
        "input 'x' is missing; the model takes x: float32 (any,)",
    )
    assert infer(client, model, version="/versions/9").status_code == 404


def test_a_model_that_cannot_be_loaded_says_why(client: httpx.Client) -> None:
    refused = infer(client, "bad")
    assert refused.status_code == 503
    assert "the model cannot be loaded" in refused.json()["error"]


def test_versions_and_labels(client: httpx.Client) -> None:
    assert infer(client, "own").json()["model_version"] == "2"
    assert infer(client, "own", version="/versions/1").json()["model_version"] == "1"
    by_label = client.post("/v1/models/own/labels/first:predict", json={"instances": [1]})
    assert by_label.json() == {"predictions": [2.5]}
    assert client.post("/v1/models/own/labels/lost:predict", json={"instances": [1]}).status_code == 400


@pytest.mark.parametrize("model", ["own", "shared"])
def test_every_process_unloads_and_loads_a_model(client: httpx.Client, model: str) -> None:
    client.post(f"/v2/repository/models/{model}/unload").raise_for_status()
    assert {infer(client, model).status_code for _ in range(8)} == {503}
    client.post(f"/v2/repository/models/{model}/load").raise_for_status()
    assert {infer(client, model).status_code for _ in range(8)} == {200}


@pytest.mark.parametrize(("model", "before"), [("own", 2), ("shared", 1), ("new", 0)])
def test_an_upload_is_the_default_of_every_process_when_it_is_answered(
    client: httpx.Client, model: str, before: int
) -> None:
    added = client.put(f"/api/v1/models/{model}?filename=x.half", content=b"half")
    assert (added.status_code, added.json()["version"]) == (201, before + 1), added.text
    assert {infer(client, model).json()["model_version"] for _ in range(12)} == {str(before + 1)}
    assert client.get(f"/api/v1/models/{model}/information").status_code == 200


def test_an_older_version_is_made_the_default_again(client: httpx.Client) -> None:
    client.post("/api/v1/models/own/default", json={"default": 1}).raise_for_status()
    assert {infer(client, "own").json()["model_version"] for _ in range(12)} == {"1"}


def test_requests_are_counted_over_all_fronts(client: httpx.Client) -> None:
    def count() -> int:
        return int(client.get("/v2/models/own/versions/2/stats").json()["model_stats"][0]["inference_count"])

    before = count()
    for _ in range(10):
        infer(client, "own", version="/versions/2").raise_for_status()
    wait_for(lambda: count() == before + 10)


def test_a_deadline_ends_a_call_and_a_full_queue_refuses_one(client: httpx.Client) -> None:
    assert infer(client, "slow", 0).status_code == 400  # it takes a scalar
    body = {"inputs": [{"name": "x", "shape": [], "datatype": "FP32", "data": [30]}]}
    late = client.post("/v2/models/slow/infer", json=body)
    assert late.status_code == 504
    assert "did not answer within 20 seconds" in late.json()["error"]
