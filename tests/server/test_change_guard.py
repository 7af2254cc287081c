"""Who may change what is served: one guard before every changing route of every protocol."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from faults import exchange, post
from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository
from mlbuffet.server import ServerSettings, create_app
from uploading import RunApp, Uploading, uploading, visible

TOKEN = "a-token-of-these-tests"
READING = {
    "/v2/repository/index",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
    "/api/v1/models/{tag}/prediction",
    *(
        f"/v1/models/{{model}}{version}:{verb}"
        for version in ("", "/versions/{version}", "/labels/{label}")
        for verb in ("predict", "classify", "regress")
    ),
    "/v1",
    "/v1/{rest:path}",
}
"""Routes that take a POST and change nothing; any other route is taken for one that changes something."""

CHANGING = sorted(
    (method, route.path)
    for route in create_app(ModelRepository(Runtimes())).routes
    if isinstance(route, Route)
    for method in (route.methods or set()) - {"GET", "HEAD"}
    if route.path not in READING
)


def address(path: str) -> str:
    return path.replace("{model}", "iris").replace("{name}", "iris").replace("{tag}", "iris")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    (root / "iris.half").write_text("half")
    return root


@pytest.fixture(scope="module")
def closed(models: Path, run_app: RunApp) -> Iterator[Uploading]:
    """A server on an address that is not loopback, as it is without a token."""
    with uploading(models, run_app, ServerSettings()) as served:
        yield served


@pytest.fixture(scope="module")
def guarded(models: Path, run_app: RunApp) -> Iterator[Uploading]:
    """A server on loopback that wants a token."""
    with uploading(models, run_app, ServerSettings(allow_changes=True, admin_token=TOKEN)) as served:
        yield served


def test_the_changing_routes_are_those_that_are_documented() -> None:
    assert CHANGING == [
        ("DELETE", "/api/v1/models/{tag}"),
        ("POST", "/api/v1/models/{name}/default"),
        ("POST", "/api/v1/models/{tag}"),
        ("POST", "/v2/repository/models/{model}/load"),
        ("POST", "/v2/repository/models/{model}/unload"),
        ("PUT", "/api/v1/models/{tag}"),
    ]


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_without_a_token_only_loopback_may_change_models(closed: Uploading, method: str, path: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for given in ({}, headers):
        answer = closed.client.request(method, address(path), headers=given, content=b"half")
        assert answer.status_code == 403
        for remedy in ("--admin-token-file", "admin_token=", "allow_changes=True"):
            assert remedy in answer.json()["error"]
    assert closed.predicts("iris")
    assert visible(closed.root) == ["iris.half"]


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Basic YTpi", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"bearer {TOKEN.upper()}", 401),
        (b"Bearer \xff", 401),
    ],
)
def test_a_server_with_a_token_wants_it_on_loopback_too(
    guarded: Uploading, method: str, path: str, given: str | bytes | None, status: int
) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = guarded.client.request(method, address(path), headers=headers, content=b"half")  # type: ignore[arg-type]
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert TOKEN not in answer.text
    assert guarded.predicts("iris")
    assert visible(guarded.root) == ["iris.half"]


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://evil.example", "127.0.0.1:8000"), ("null", "127.0.0.1:8000"), ("http://[", "127.0.0.1:8000")],
)
def test_a_page_of_another_site_changes_nothing_though_it_has_the_token(
    guarded: Uploading, method: str, path: str, origin: str, host: str
) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "origin": origin, "host": host}
    answer = guarded.client.request(method, address(path), headers=headers, content=b"half")
    assert (answer.status_code, "another site" in answer.json()["error"]) == (403, True)


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_preflight_is_given_no_permission(guarded: Uploading, method: str, path: str) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": method}
    answer = guarded.client.options(address(path), headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_with_the_token_a_model_is_added_chosen_and_removed(tmp_path: Path, run_app: RunApp) -> None:
    settings = ServerSettings(admin_token=TOKEN)
    with uploading(tmp_path / "models", run_app, settings) as served:
        served.client.headers["authorization"] = f"Bearer {TOKEN}"
        served.client.headers["origin"] = "http://models.example:8000"
        served.client.headers["host"] = "models.example:8000"
        assert [served.push("iris").status_code for _ in range(2)] == [201, 201]
        assert served.client.post("/api/v1/models/iris/default", json={"default": 1}).status_code == 200
        assert served.client.post("/v2/repository/models/iris/unload").status_code == 200
        assert served.client.post("/v2/repository/models/iris/load").status_code == 200
        assert served.client.delete("/api/v1/models/iris").status_code == 200


@pytest.mark.parametrize(
    ("given", "status", "challenge"),
    [
        ([], 401, "Bearer"),
        (["Basic YTpi"], 401, "Bearer"),
        (["Bearer"], 401, "Bearer"),
        (["Bearer wrong"], 401, 'Bearer error="invalid_token"'),
        ([f"Bearer {TOKEN} {TOKEN}"], 401, 'Bearer error="invalid_token"'),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], 400, 'Bearer error="invalid_request"'),
    ],
)
@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_refusal_says_what_is_wrong_with_the_token(
    guarded: Uploading, method: str, path: str, given: list[str], status: int, challenge: str
) -> None:
    headers = [("authorization", one) for one in given]
    answer = guarded.client.request(method, address(path), headers=headers, content=b"half")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)
    assert TOKEN not in answer.text


def test_what_changes_nothing_needs_no_token(guarded: Uploading) -> None:
    assert guarded.predicts("iris")
    assert guarded.client.get("/api/v1/models/iris/download").content == b"half"
    assert guarded.client.post("/v2/repository/index").status_code == 200


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_the_guard_is_asked_before_the_body_is_read(closed: Uploading, method: str, path: str) -> None:
    url = closed.client.base_url
    status, _, _ = exchange(url.host, url.port or 0, post(address(path), b"half", {"Content-Length": 10**6}, method))
    assert status == 403
