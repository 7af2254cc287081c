"""When a server says that it is ready, plainly and strictly."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, Residency, Sources
from mlbuffet.server import ServerSettings, create_app
from pipelines import pipeline_runtimes
from small_runtimes import small_runtimes, write_models
from uploading import RunApp
from waiting import wait_for

STRICT = ServerSettings(strict_readiness=True, allow_changes=True)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model that loads, one that does not, and one whose newer version does not."""
    for name, text in {
        "bad.half": "corrupt",
        "good.half": "half",
        "m/1/m.half": "half",
        "m/2/m.half": "corrupt",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@contextmanager
def serving(
    models: Path,
    run_app: RunApp,
    settings: ServerSettings = STRICT,
    residency: Residency | None = None,
    runtimes: Runtimes | None = None,
) -> Iterator[httpx.Client]:
    runtimes, loaded = runtimes or small_runtimes(), Event()
    repository = ModelRepository(runtimes, residency=residency)
    repository.update(Sources([models], runtimes).find())
    with run_app(create_app(repository, settings, on_loaded=loaded.set)) as client:
        assert loaded.wait(30)
        yield client


def test_a_server_is_ready_once_every_load_was_attempted(models: Path, run_app: RunApp) -> None:
    with serving(models, run_app, ServerSettings()) as client:
        assert client.get("/v2/health/ready").status_code == 200


def test_strict_readiness_names_the_models_that_do_not_answer_until_they_do(models: Path, run_app: RunApp) -> None:
    with serving(models, run_app) as client:
        answer = client.get("/v2/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"error": "models are not ready: bad"})
        assert client.get("/v2/health/live").status_code == 200
        (models / "bad.half").write_text("half")
        wait_for(lambda: client.get("/v2/health/ready").status_code == 200)  # its load is tried again


def test_strict_readiness_does_not_want_what_a_client_unloaded(models: Path, run_app: RunApp) -> None:
    with serving(models, run_app) as client:
        assert client.post("/v2/repository/models/bad/unload").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200
        assert client.post("/v2/repository/models/good/unload").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("residency", [None, Residency(lazy=True)])
def test_a_model_is_as_ready_as_what_it_calls(tmp_path: Path, run_app: RunApp, residency: Residency | None) -> None:
    models = write_models(tmp_path, {"a.pipe": "b", "b.pipe": "c", "c.half": "half"})
    with serving(models, run_app, residency=residency, runtimes=pipeline_runtimes()) as client:
        wanted = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [2]}]}
        for action, status in (("load", 200), ("unload", 503), ("load", 200)):
            assert client.post(f"/v2/repository/models/c/{action}").status_code == 200
            ready = client.get("/v2/models/a/ready")
            assert (ready.status_code, client.post("/v2/models/a/infer", json=wanted).status_code) == (status, status)
            assert client.get("/v2/health/ready").status_code == status
            if status == 503:
                assert "it calls the model 'b': it calls the model 'c': it was unloaded" in ready.json()["error"]
                assert client.get("/v2/health/ready").json() == {"error": "models are not ready: a, b"}


def test_strict_readiness_names_a_model_whose_configuration_is_wrong(models: Path, run_app: RunApp) -> None:
    (models / "m" / "model.toml").write_text("no_such_key = 1")
    (models / "bad.half").unlink()
    with serving(models, run_app) as client:
        answer = client.get("/v2/health/ready")
        assert answer.json() == {"error": "models are not ready: m"}
        assert "retry-after" not in answer.headers  # until somebody mends it


def test_models_that_are_loaded_on_demand_are_ready_until_they_fail(models: Path, run_app: RunApp) -> None:
    with serving(models, run_app, residency=Residency(lazy=True)) as client:
        assert client.get("/v2/health/ready").status_code == 200
        assert client.get("/v2/models/bad").status_code == 503
        assert client.get("/v2/health/ready").json() == {"error": "models are not ready: bad"}
