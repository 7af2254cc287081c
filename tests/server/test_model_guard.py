"""With a token for predictions, nothing that has to do with models is reached without one, on whichever way."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository
from mlbuffet.server import ServerSettings, create_app
from mlbuffet.server.fast_path.endpoint import FastPath
from mlbuffet.server.http.model_guard import OPEN
from mlbuffet.token_file import TokenFile
from small_runtimes import write_models
from waiting import wait_for

Serve = Callable[..., AbstractContextManager[httpx.Client]]
TOKEN, ADMIN = "the-token-for-predictions", "the-token-for-changes"
BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
PREDICTIONS = {
    "/v2/models/good/infer": BODY,
    "/v1/models/good:predict": {"instances": [1]},
    "/api/v1/models/good/prediction": {"values": [1]},
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module", params=["fast path", "application"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"), {"good.half": "half"})


@pytest.fixture(scope="module")
def client(serve: Serve, models: Path, way: str) -> Iterator[httpx.Client]:
    settings = ServerSettings(predict_token=TOKEN, admin_token=ADMIN, allow_changes=True)
    with serve(models, settings, way=way) as client:
        yield client


@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize("token", [TOKEN, ADMIN])
def test_either_token_opens_predictions(client: httpx.Client, path: str, token: str) -> None:
    for _ in range(20):
        answer = client.post(path, json=PREDICTIONS[path], headers=bearer(token))
        assert (answer.status_code, "2.5" in answer.text) == (200, True)


@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ({}, 401, "Bearer"),
        (bearer("another"), 401, 'Bearer error="invalid_token"'),
        (bearer(TOKEN[:-1]), 401, 'Bearer error="invalid_token"'),
        (bearer(f"{TOKEN}x"), 401, 'Bearer error="invalid_token"'),
        ({"Authorization": TOKEN}, 401, "Bearer"),
        ({"Authorization": f"Basic {TOKEN}"}, 401, "Bearer"),
        ([("Authorization", f"Bearer {TOKEN}")] * 2, 400, 'Bearer error="invalid_request"'),
    ],
)
def test_what_shows_no_token_is_refused_also_after_what_did(
    client: httpx.Client, path: str, headers: dict[str, str], status: int, challenge: str
) -> None:
    for _ in range(5):
        assert client.post(path, json=PREDICTIONS[path], headers=bearer(TOKEN)).status_code == 200
        answer = client.post(path, json=PREDICTIONS[path], headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)
        assert answer.json()["error"]
        assert answer.headers["x-request-id"]


ROUTES = sorted(
    (method, route.path)
    for route in create_app(ModelRepository(Runtimes())).routes
    if isinstance(route, Route)
    for method in route.methods or ()
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_takes_a_token_but_those_that_are_open(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path.replace("{model}", "good").replace("{name}", "good"))
    assert (answer.status_code != 401) == (path in OPEN)


def test_what_is_open_is_there_and_no_more(client: httpx.Client) -> None:
    assert {path for _, path in ROUTES} >= OPEN
    assert {client.get(path).status_code for path in OPEN} == {200}
    for path in (
        "//v2/models",
        "/v2/health/live/",
        "/v2/health",
        "/V2/models",
        "/metrics/x",
        "/nothing",
        "/v2/./models",
    ):
        assert client.get(path).status_code == 401


def test_the_token_for_predictions_changes_nothing(client: httpx.Client) -> None:
    for token, status in ((TOKEN, 401), (ADMIN, 200)):
        answer = client.post("/v2/repository/models/good/load", headers=bearer(token))
        assert answer.status_code == status


def test_what_shows_the_token_goes_the_fast_path(serve: Serve, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    answer = FastPath.answer

    def count(self: FastPath, *arguments: Any) -> Any:
        taken.append(arguments)
        return answer(self, *arguments)

    monkeypatch.setattr(FastPath, "answer", count)
    with serve(models, ServerSettings(predict_token=TOKEN)) as client:
        for headers, is_taken in ((bearer(TOKEN), True), ({}, False), (bearer("x"), False), (bearer(TOKEN), True)):
            taken.clear()
            for _ in range(10):
                client.post("/v2/models/good/infer", json=BODY, headers=headers)
            assert bool(taken) == is_taken


@pytest.mark.parametrize("path", PREDICTIONS)
def test_a_file_with_another_token_counts_a_moment_later(
    serve: Serve, models: Path, way: str, path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    with serve(models, ServerSettings(predict_token=TokenFile(file)), way=way) as client:

        def status(token: str) -> int:
            return client.post(path, json=PREDICTIONS[path], headers=bearer(token)).status_code

        assert (status("first"), status("second")) == (200, 401)
        replace(file, "second\n")
        wait_for(lambda: (status("first"), status("second")) == (401, 200))
        with caplog.at_level(logging.ERROR):
            replace(file, "")
            wait_for(lambda: status("second") == 200 and "the token stays as it was: " in caplog.text)


def replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_a_file_that_is_removed_leaves_the_token_and_its_return_counts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    tokens = TokenFile(file)
    file.unlink()
    assert tokens.token == "first"
    file.write_text("second")
    wait_for(lambda: tokens.token == "second")
