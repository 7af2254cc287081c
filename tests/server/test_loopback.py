"""Without a token, only what comes straight from a program of this machine may change what is served."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbuffet.server import ServerSettings
from mlbuffet.server.http.change_guard import is_loopback_name
from uploading import RunApp, Uploading, uploading, visible

CHANGES = [
    ("DELETE", "/api/v1/models/iris"),
    ("POST", "/api/v1/models/iris/default"),
    ("POST", "/api/v1/models/iris"),
    ("POST", "/v2/repository/models/iris/load"),
    ("POST", "/v2/repository/models/iris/unload"),
    ("PUT", "/api/v1/models/iris"),
]
FORWARDED = {
    "Forwarded": "for=192.0.2.1",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "https",
    "x-forwarded-host": "localhost",
    "X-Forwarded-Client-Cert": "",
    "Via": "1.1 proxy",
    "X-Real-IP": "127.0.0.1",
    "CF-Connecting-IP": "192.0.2.1",
    "True-Client-IP": "192.0.2.1",
}
ELSEWHERE = [
    "models.example.com",
    "localhost.example.com",
    "127.0.0.1.example.com:8000",
    "192.0.2.1",
    "0.0.0.0:8000",
    "[::2]:80",
    "2130706433",
    "0177.0.0.1",
    "127.1",
]
HERE = ["localhost", "LOCALHOST:1", "localhost.", "a.localhost:8000", "127.0.0.1", "127.9.9.9:80", "[::1]:8000"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, run_app: RunApp) -> Iterator[Uploading]:
    """A server on loopback without a token."""
    root = tmp_path_factory.mktemp("models")
    (root / "iris.half").write_text("half")
    with uploading(root, run_app, ServerSettings(allow_changes=True)) as served:
        yield served


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("header", FORWARDED)
def test_a_request_that_a_proxy_forwards_changes_nothing(
    served: Uploading, method: str, path: str, header: str
) -> None:
    refused(served, method, path, {header: FORWARDED[header]}, f"its header {header.title()} says")


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_request_for_the_name_of_another_machine_changes_nothing(
    served: Uploading, method: str, path: str, host: str
) -> None:
    refused(served, method, path, {"Host": host}, f"its header Host is {host!r}")


def refused(served: Uploading, method: str, path: str, headers: dict[str, str], reason: str) -> None:
    answer = served.client.request(method, path, headers=headers, content=b"half")
    assert answer.status_code == 403
    assert reason in answer.json()["error"]
    assert "--admin-token-file" in answer.json()["error"]
    assert served.predicts("iris")
    assert visible(served.root) == ["iris.half"]


@pytest.mark.parametrize("host", HERE)
def test_a_request_for_this_machine_may_change_models(served: Uploading, host: str) -> None:
    assert served.client.post("/v2/repository/models/iris/load", headers={"Host": host}).status_code == 200


def test_a_proxy_may_pass_predictions_on(served: Uploading) -> None:
    answer = served.client.get("/v2/models/iris", headers={**FORWARDED, "Host": "models.example.com"})
    assert answer.status_code == 200


def test_with_the_token_a_proxy_may_stand_before_the_server(tmp_path: Path, run_app: RunApp) -> None:
    with uploading(tmp_path / "models", run_app, ServerSettings(admin_token="a-token")) as served:
        served.client.headers.update({**FORWARDED, "Host": "models.example.com", "Authorization": "Bearer a-token"})
        assert served.push("iris").status_code == 201


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("token", [None, "a-token"])
def test_a_read_only_server_changes_nothing(
    tmp_path: Path, run_app: RunApp, method: str, path: str, token: str | None
) -> None:
    root = tmp_path / "models"
    root.mkdir()
    (root / "iris.half").write_text("half")
    settings = ServerSettings(allow_changes=True, admin_token=token, read_only=True)
    with uploading(root, run_app, settings) as served:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = served.client.request(method, path, headers=headers, content=b"half")
        assert (answer.status_code, "read-only" in answer.json()["error"]) == (403, True)
        assert served.client.post("/v2/repository/index").json()[0]["state"] == "READY"
        assert served.predicts("iris")
        assert visible(root) == ["iris.half"]


def test_only_names_of_this_machine_are_loopback() -> None:
    names = ["::1", "::ffff:127.0.0.1", "fe80::1%eth0", "::ffff:192.0.2.1", "", "localhost.."]
    assert [name for name in names if is_loopback_name(name)] == ["::1", "::ffff:127.0.0.1"]
