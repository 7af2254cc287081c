"""Models in a store that each of two nodes reads by fsspec: what is put there reaches every replica."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from onnx_linear import write_line
from waiting import wait_for

pytest.importorskip("ray")

from ray_cluster import ray_cluster
from ray_serving import is_ready


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """What the store has; the model ``own`` has two replicas, ``shared`` is served by the fronts."""
    for name in ("own", "shared"):
        write_line(tmp_path / f"bucket/{name}/1/model.onnx", 1, 0)
    (tmp_path / "bucket/own/model.toml").write_text("[replicas]\nmin = 2\nnum_cpus = 5\n")  # of 8 a node has
    return tmp_path / "bucket"


@pytest.fixture
def client(bucket: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with ray_cluster(nodes=2, environment=cache) as cluster, httpx.Client(base_url=cluster.url, timeout=60) as client:
        # fsspec's own name of the files of a machine: a file:// URL is a path
        cluster.run(f"local://{bucket}", front={"min": 2, "num_cpus": 0}, allow_changes=True)  # type: ignore[arg-type]
        wait_for(lambda: is_ready(client), 120)
        yield client


def answers(client: httpx.Client, model: str) -> set[tuple[str, float]]:
    """The versions that answer, with what they compute."""
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}]}
    found = [client.post(f"/v2/models/{model}/infer", json=body).raise_for_status().json() for _ in range(12)]
    return {(one["model_version"], one["outputs"][0]["data"][0]) for one in found}


def test_a_version_that_is_put_there_is_the_default_of_every_replica(client: httpx.Client, bucket: Path) -> None:
    models = ("own", "shared")
    assert [answers(client, model) for model in models] == [{("1", 2.0)}] * 2
    refused = client.put("/api/v1/models/own?filename=model.onnx", content=b"onnx")
    assert refused.status_code in (403, 404, 405, 409), refused.text
    for model in models:
        write_line(bucket / model / "2/model.onnx", 10, 1)
    wait_for(lambda: all(answers(client, model) == {("2", 21.0)} for model in models), 120)
    shutil.rmtree(bucket / "own/2")
    wait_for(lambda: answers(client, "own") == {("1", 2.0)}, 120)
