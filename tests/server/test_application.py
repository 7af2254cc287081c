"""The server is live before it is ready, and ends its models when it ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from mlbuffet import ModelNotReady, Runtimes
from mlbuffet.repository import ModelRepository, StoredModel, StoredVersion
from mlbuffet.server import create_app

RunApp = Callable[[Starlette], AbstractContextManager[httpx.Client]]


def test_a_server_is_live_while_models_load_and_ready_when_each_was_tried(
    slow: ModelRepository, may_load: Event, run_app: RunApp
) -> None:
    loaded = Event()
    with run_app(create_app(slow, on_loaded=loaded.set)) as client:
        assert client.get("/v2/health/live").status_code == 200
        waiting = [client.get(path) for path in ("/v2/health/ready", "/v2/models/half/ready", "/v2/models/half")]
        assert [answer.status_code for answer in waiting] == [503, 503, 503]
        assert waiting[0].json() == {"error": "models are being loaded"}
        assert waiting[1].json() == {"error": "version 1 of the model 'half' is not ready: it is being loaded"}
        may_load.set()
        assert loaded.wait(120)
        assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}
        assert client.get("/v2/models/half/ready").status_code == 200
    with pytest.raises(ModelNotReady, match="it was unloaded"):
        assert slow.get("half").model


def test_an_application_may_lie_below_a_path_of_another(half: Path, runtimes: Runtimes, run_app: RunApp) -> None:
    repository = ModelRepository(runtimes)
    repository.update([StoredModel("half", (StoredVersion("half", 1, half),))])
    repository.load_all()
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}]}
    with run_app(Starlette(routes=[Mount("/ml", create_app(repository))])) as client:
        assert client.post("/ml/v2/models/half/infer", json=body).json()["outputs"][0]["data"] == [3.0]
        assert client.post("/ml/v1/models/half:predict", json={"inputs": [2]}).json() == {"outputs": [3.0]}
        assert client.post("/v2/models/half/infer", json=body).status_code == 404
    repository.close()


def test_that_all_is_loaded_is_said_however_soon_it_is(runtimes: Runtimes) -> None:
    for _ in range(50):
        loaded = Event()
        with TestClient(create_app(ModelRepository(runtimes), on_loaded=loaded.set)):
            assert loaded.wait(120)
