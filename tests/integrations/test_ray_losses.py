"""Nothing is lost on a cluster of Ray: neither with replicas and nodes that end, nor while versions change.

MLBUFFET_CAMPAIGN=1 takes twenty models and five thousand answers.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from onnx_linear import write_line
from waiting import wait_for

pytest.importorskip("ray")

from ray_cluster import RayCluster, Replica, ray_cluster
from ray_load import Line, load
from ray_serving import is_ready

CAMPAIGN = "MLBUFFET_CAMPAIGN" in os.environ
FRONT = {"min": 3, "num_cpus": 0.1}
MODELS, ANSWERS = (20, 5000) if CAMPAIGN else (3, 300)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], Line]]:
    """A folder of models, each another line, and what each computes."""
    root, lines = tmp_path_factory.mktemp("models"), {}
    for number in range(MODELS):
        line = lines[f"m{number}", "1"] = (2.0, float(number))
        write_line(root / f"m{number}" / "1" / "model.onnx", *line)
        (root / f"m{number}" / "model.toml").write_text("[replicas]\nmin = 2\nnum_cpus = 0.1\n")
    return root, lines


@pytest.fixture(scope="module")
def cluster(models: tuple[Path, dict[tuple[str, str], Line]]) -> Iterator[RayCluster]:
    with ray_cluster(nodes=4) as cluster, httpx.Client(base_url=cluster.url, timeout=30) as client:
        cluster.run(models[0], front=FRONT)
        wait_for(lambda: is_ready(client), 600)
        yield cluster


def test_a_new_version_takes_over_while_clients_ask(
    cluster: RayCluster, models: tuple[Path, dict[tuple[str, str], Line]]
) -> None:
    root, lines = models
    lines["m0", "2"] = 3.0, 100.0
    with load(cluster.url, lines) as asked:
        wait_for(lambda: asked.answers > ANSWERS // 10, 300)
        write_line(root / "m0/.coming/model.onnx", 3.0, 100.0)
        (root / "m0/.coming").rename(root / "m0/2")
        wait_for(lambda: asked.versions["2"] > 20, 300)
    assert set(asked.outcomes) == {"right"}
    print(dict(asked.outcomes), dict(asked.versions))


def test_the_application_is_deployed_anew_while_clients_ask(
    cluster: RayCluster, models: tuple[Path, dict[tuple[str, str], Line]]
) -> None:
    before = {one.pid for one in cluster.replicas()}
    with load(cluster.url, models[1]) as asked:
        cluster.run(models[0], front=FRONT, request_timeout=170)
        wait_for(lambda: not before & {one.pid for one in cluster.replicas()}, 300)
        answers = asked.answers
        wait_for(lambda: asked.answers > answers + ANSWERS // 10, 300)
    assert set(asked.outcomes) == {"right"}
    print(dict(asked.outcomes), "while", len(before), "replicas were replaced")


def test_a_node_is_drained_while_clients_ask(
    cluster: RayCluster, models: tuple[Path, dict[tuple[str, str], Line]]
) -> None:
    there = len(cluster.replicas(of_last_node=True))
    with load(cluster.url, models[1]) as asked:
        cluster.drain_node()
        wait_for(lambda: not cluster.replicas(of_last_node=True), 600)
        cluster.remove_node()
        answers = asked.answers
        wait_for(lambda: asked.answers > answers + ANSWERS // 10, 300)
    assert set(asked.outcomes) == {"right"}
    print(dict(asked.outcomes), "while a node gave up", there, "replicas")


def test_replicas_and_a_node_end_while_clients_ask(
    cluster: RayCluster, models: tuple[Path, dict[tuple[str, str], Line]]
) -> None:
    with load(cluster.url, models[1]) as asked:
        begun = time.monotonic()
        killed: list[str] = []
        while asked.answers < ANSWERS // 2 or len(killed) < 3:
            if (victim := _victim(cluster.replicas())) is not None:
                victim.kill()
                killed.append(victim.deployment)
            time.sleep(2)
        cluster.remove_node()
        wait_for(lambda: asked.answers >= ANSWERS, 1200)
    assert set(asked.outcomes) == {"right"}
    print(dict(asked.outcomes), len(killed), "replicas were killed in", time.monotonic() - begun, "s:", killed)


def _victim(replicas: list[Replica]) -> Replica | None:
    """One of them, whichever, but for the last two fronts: here they end sooner than others can start."""
    fronts = [one for one in replicas if one.deployment == "_front"]
    others = [one for one in replicas if one not in fronts]
    mortal = others + (fronts if len(fronts) > 2 else [])
    return random.choice(mortal) if mortal else None
