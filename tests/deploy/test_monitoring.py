"""What Prometheus and Grafana ask for is what a server has: each name, and with a Prometheus each query."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from containers import Server, served
from redis_server import free_port
from waiting import wait_for

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PANEL_QUERIES = {
    f"{panel['title']} {target['refId']}{panel['id']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ADAPTER = yaml.safe_load((DEPLOY / "kubernetes/prometheus-adapter.yaml").read_text())
(ADAPTED,) = ADAPTER["rules"]["custom"]
QUERIES = {**PANEL_QUERIES, **{rule["alert"]: rule["expr"] for rule in RULES}, "adapter": ADAPTED["seriesQuery"]}
RARE = ("Rows a batch", "Answers that were kept", "Kept in memory; Redis B", "MLBuffetErrors", "Failed by model")
"""Without batches, a cache, Redis and failures there is nothing to show."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, iris: Path) -> Iterator[Server]:
    """One that has answered, and refused."""
    with served({}, tmp_path_factory.mktemp("server"), {"/models": iris}) as server, server.client() as client:
        for flower in ([[5.1, 3.5, 1.4, 0.2]], [[5.1]]):
            client.post("/v1/models/iris:predict", json={"inputs": {"measurements": flower}})
        yield server


def names_in(query: str) -> set[str]:
    """The metrics that a query of ours asks for."""
    return set(re.findall(r"\b((?:mlbuffet|process)_\w+|up)\b", re.sub(r"\{[^}]*\}|by \([^)]*\)", "", query)))


@pytest.mark.parametrize("query", QUERIES)
def test_every_metric_that_is_asked_for_is_there(server: Server, query: str) -> None:
    with server.client() as client:
        page = client.get("/metrics").text
    families = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    known = families | {f"{name}_{part}" for name in families for part in ("bucket", "sum", "count")} | {"up"}
    known.add("mlbuffet_cache_redis_up")  # only where there is one: docs/operations.md
    assert names_in(QUERIES[query])
    assert names_in(QUERIES[query]) <= known


def test_the_dashboard_is_whole() -> None:
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used - {"__rate_interval"} == variables
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels that lie over each other"
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_what_it_is_given() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounts = dict(volume.rsplit(":", 1)[0].split(":") for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((DEPLOY / "grafana-provisioning.yaml").read_text())["providers"]
    assert mounts["./grafana.json"].startswith(provider["options"]["path"])
    (source,) = yaml.safe_load((DEPLOY / "grafana-datasource.yaml").read_text())["datasources"]
    (chosen,) = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "datasource"]
    assert chosen["current"]["value"] == source["uid"]
    assert source["url"] == "http://prometheus:9090"


def adapted(namespace: str, pod: str) -> str:
    """The query that the adapter makes of its rule, for one pod."""
    matchers = f'namespace="{namespace}",pod="{pod}"'
    series = ADAPTED["seriesQuery"].partition("{")[0]
    query = str(ADAPTED["metricsQuery"])
    for name, value in {"Series": series, "LabelMatchers": matchers, "GroupBy": "pod"}.items():
        query = query.replace(f"<<.{name}>>", value)
    return query


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[httpx.Client]:
    """A Prometheus that reads the server by our configuration, as that of a pod."""
    if shutil.which("prometheus") is None:
        pytest.skip("there is no prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    configuration: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (target,) = configuration["scrape_configs"][0]["static_configs"]
    target |= {"targets": [f"127.0.0.1:{server.ports['--port']}"], "labels": {"namespace": "default", "pod": "one"}}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(DEPLOY / "alerts.yml", folder)
    port = free_port()
    options = ["--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_for(lambda: len(asked(client, "count_over_time(mlbuffet_versions[1m]) > 5")) > 0, 60)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def asked(client: httpx.Client, query: str) -> list[Any]:
    """The series of an answer."""
    try:
        answer = client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    assert answer.status_code in (200, 503), answer.text
    return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_answers_every_query(prometheus: httpx.Client, query: str) -> None:
    text = QUERIES[query]
    for name, value in {"$__rate_interval": "1m", "$instance": ".*", "$model": ".*"}.items():
        text = text.replace(name, value)
    shown = re.sub(r"\s+[<>=]=?\s+[\d.]+\s*$", "", text)  # an alert without its limit
    assert asked(prometheus, shown) or query.startswith(RARE)
    assert query not in [rule["alert"] for rule in RULES] or not asked(prometheus, text), "the server is well"


def test_the_adapter_gives_the_calls_that_wait_of_a_pod(prometheus: httpx.Client) -> None:
    (series,) = asked(prometheus, adapted("default", "one"))
    assert (series["metric"], series["value"][1]) == ({"pod": "one"}, "0")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
def test_promtool_finds_nothing() -> None:
    subprocess.run(["promtool", "check", "config", "prometheus.yml"], cwd=DEPLOY, check=True)
