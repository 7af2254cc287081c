"""What a server says whose models are elsewhere, and what it asks the service that has them."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gated import Gated, runtimes_with
from mlbuffet.inference import Deadline
from mlbuffet.server import ServerSettings, create_app
from remote_service import RemoteService, remote_service
from small_runtimes import repository_of, small_runtimes, write_models
from waiting import wait_for

RunApp = Callable[..., AbstractContextManager[httpx.Client]]
TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
ADDRESSES: dict[str, dict[str, Any]] = {
    "/v2/models/half/infer": {"inputs": [TENSOR], "parameters": {"priority": 3}},
    "/v1/models/half:predict": {"instances": [1]},
    "/api/v1/models/half/prediction": {"values": [1]},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RemoteService]:
    models = {"half/1/x.half": "half", "half/2/x.half": "half", "bad.half": "no"}
    models["half/model.toml"] = 'versions = "all"\nlabels = { first = 1 }'
    with remote_service(repository_of(write_models(tmp_path, models), small_runtimes())) as service:
        yield service


@pytest.fixture
def client(service: RemoteService, run_app: RunApp) -> Iterator[httpx.Client]:
    with run_app(create_app(service, ServerSettings(allow_changes=True, request_timeout=30))) as client:
        yield client


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_service_gets_the_whole_request(client: httpx.Client, service: RemoteService, address: str) -> None:
    answer = client.post(address, json=ADDRESSES[address], headers={"X-Request-Id": "mine"})
    assert answer.status_code == 200
    assert "2.5" in answer.text
    (asked,) = service.requests
    assert (asked.model.model, asked.model.version, asked.id) == ("half", None, "mine")
    assert asked.inputs["x"].tolist() == [1]
    assert dict(asked.parameters) == ADDRESSES[address].get("parameters", {})
    assert asked.deadline is not None
    assert asked.deadline.seconds == 30


def test_versions_and_labels_are_the_services(client: httpx.Client, service: RemoteService) -> None:
    client.post("/v1/models/half/labels/first:predict", json={"instances": [1]}).raise_for_status()
    assert client.post("/v2/models/half/versions/1/infer", json={"inputs": [TENSOR]}).json()["model_version"] == "1"
    assert client.post("/v1/models/half/versions/0:predict", json={"instances": [1]}).status_code == 200
    assert [asked.model.label for asked in service.requests] == ["first", None, None]
    assert client.post("/v1/models/half/labels/lost:predict", json={"instances": [1]}).status_code == 400
    assert client.post("/v2/models/half/versions/9/infer", json={"inputs": [TENSOR]}).status_code == 404
    assert client.get("/v2/models/lost/stats").status_code == 404
    assert client.post("/v2/models/bad/infer", json={"inputs": [TENSOR]}).status_code == 503


def test_what_needs_files_says_that_another_service_has_them(client: httpx.Client) -> None:
    for path in ("/api/v1/models/half/information", "/api/v1/models/half/download"):
        refused = client.get(path)
        assert refused.status_code == 409
        assert "another service has them" in refused.json()["error"]
    assert client.put("/api/v1/models/new?filename=x.half", content=b"half").status_code == 409
    assert client.get("/api/v1/models").json()["model_list"] == ["bad", "half"]


def test_metrics_are_of_its_versions_and_of_the_requests_here(client: httpx.Client) -> None:
    for address, body in ADDRESSES.items():
        client.post(address, json=body).raise_for_status()
    text = client.get("/metrics").text
    assert 'mlbuffet_versions{state="READY"} 2.0' in text
    assert 'mlbuffet_versions{state="FAILED"} 1.0' in text
    for protocol in ("v2", "v1", "api"):
        assert f'code="200",model="half",protocol="{protocol}",version="2"}} 1.0' in text


def test_a_model_elsewhere_is_loaded_and_unloaded(client: httpx.Client) -> None:
    assert client.post("/v2/repository/models/half/unload").status_code == 200
    assert client.get("/v2/models/half/ready").status_code == 503
    assert client.post("/v2/repository/models/half/load").status_code == 200
    assert client.get("/v2/models/half/ready").status_code == 200


@pytest.mark.parametrize("address", [address.replace("half", "m") for address in ADDRESSES])
def test_a_deadline_and_a_client_that_leaves_cancel_the_call_there(
    tmp_path: Path, run_app: RunApp, address: str
) -> None:
    plugin = Gated()
    limits = "[scheduling]\nmax_concurrency = 1"
    models = write_models(tmp_path, {"m/1/x.gated": "", "m/model.toml": limits})
    body = ADDRESSES[address.replace("models/m", "models/half")]
    settings = ServerSettings(request_timeout=0.3)
    with (
        remote_service(repository_of(models, runtimes_with(plugin))) as service,
        run_app(create_app(service, settings)) as client,
    ):
        late = client.post(address, json=body)
        assert late.status_code == 504
        assert "did not answer within 0.3 seconds" in late.text
        with pytest.raises(httpx.ReadTimeout):
            client.post(address, json=body, timeout=0.1)
        wait_for(lambda: len(service.requests) == 2)
        time.sleep(0.5)
        plugin.gate.set()
        wait_for(lambda: len(plugin.batches) >= 1)
        time.sleep(0.1)
        assert len(plugin.batches) == 1, "the second call left the queue with its client"
    assert isinstance(service.requests[0].deadline, Deadline)
