"""Pages of sites that were named may read what the server answers, and pages of others may not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlbuffet.inference.local import LocalService
from mlbuffet.server import ServerSettings
from mlbuffet.server.fast_path.endpoint import FastPath
from small_runtimes import write_models

Serve = Callable[..., AbstractContextManager[httpx.Client]]
SITE, OTHER = "https://example.com", "https://example.org"
BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
V2 = "/v2/models/good/infer"
ASKING = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module", params=["fast path", "application"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"), {"good.half": "half"})


@pytest.fixture(scope="module")
def client(serve: Serve, models: Path, way: str) -> Iterator[httpx.Client]:
    with serve(models, ServerSettings(cors_origins=(SITE,), predict_token="token"), way=way) as client:
        client.headers["Authorization"] = "Bearer token"
        yield client


@pytest.mark.parametrize("path", [V2, "/v1/models/good:predict", "/api/v1/models/good/prediction", "/nothing"])
def test_a_preflight_is_answered_without_a_token(client: httpx.Client, path: str) -> None:
    del client.headers["Authorization"]
    try:
        answer = client.options(path, headers={"Origin": SITE, **ASKING})
        refused = client.options(path, headers={"Origin": OTHER, **ASKING})
    finally:
        client.headers["Authorization"] = "Bearer token"
    assert (answer.status_code, answer.headers[ALLOWED]) == (200, SITE)
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert (refused.status_code, ALLOWED in refused.headers) == (400, False)


def test_answers_and_errors_say_who_may_read_them(client: httpx.Client) -> None:
    for _ in range(20):
        asked = [
            client.post(V2, json=BODY, headers={"Origin": SITE}),
            client.post(V2, json={}, headers={"Origin": SITE}),
            client.get("/v2/models/lost", headers={"Origin": SITE}),
            client.get("/v2/models/good", headers={"Origin": SITE, "Authorization": "Bearer x"}),
        ]
        assert [answer.status_code for answer in asked] == [200, 400, 404, 401]
        assert {answer.headers[ALLOWED] for answer in asked} == {SITE}
        assert all("X-Request-Id" in answer.headers["access-control-expose-headers"] for answer in asked)
        assert all("Origin" in answer.headers["vary"] for answer in asked)
        of_another = client.post(V2, json=BODY, headers={"Origin": OTHER})
        assert (of_another.status_code, ALLOWED in of_another.headers) == (200, False)


def test_a_defect_is_readable_too(serve: Serve, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(LocalService, "versions", fail)
    with serve(models, ServerSettings(cors_origins=(SITE,))) as client:
        answer = client.get("/api/v1/models", headers={"Origin": SITE})
    assert (answer.status_code, answer.headers[ALLOWED]) == (500, SITE)
    assert answer.json()["error"].startswith("internal error")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_every_site_may_read_where_that_is_said(serve: Serve, models: Path) -> None:
    with serve(models, ServerSettings(cors_origins=("*",))) as client:
        answer = client.post(V2, json=BODY, headers={"Origin": OTHER})
    assert (answer.status_code, answer.headers[ALLOWED]) == (200, "*")


def test_without_sites_there_is_no_preflight_and_no_header(serve: Serve, models: Path) -> None:
    with serve(models) as client:
        assert client.options(V2, headers={"Origin": SITE, **ASKING}).status_code == 405
        assert not any(
            "access-control" in name for name in client.post(V2, json=BODY, headers={"Origin": SITE}).headers
        )


def test_a_page_that_may_read_may_change_nothing(serve: Serve, models: Path) -> None:
    settings = ServerSettings(cors_origins=(SITE,), admin_token="admin")
    headers = {"Origin": SITE, "Authorization": "Bearer admin"}
    with serve(models, settings) as client:
        answer = client.post("/v2/repository/models/good/load", headers=headers)
    assert (answer.status_code, answer.headers[ALLOWED]) == (403, SITE)
    assert "a page of another site may not change" in answer.json()["error"]


def test_what_no_page_sends_goes_the_fast_path(serve: Serve, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    answer = FastPath.answer

    def count(self: FastPath, *arguments: Any) -> Any:
        taken.append(arguments)
        return answer(self, *arguments)

    monkeypatch.setattr(FastPath, "answer", count)
    with serve(models, ServerSettings(cors_origins=(SITE,))) as client:
        for headers, is_taken in (({}, True), ({"Origin": SITE}, False), ({}, True)):
            taken.clear()
            for _ in range(10):
                assert client.post(V2, json=BODY, headers=headers).status_code == 200
            assert bool(taken) == is_taken
