"""Every answer names its request, by the client's id where that is fit for a log."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from mlbuffet.telemetry.request_context import request_id


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    root: Path = tmp_path_factory.mktemp("models")
    (root / "half.half").write_text("half")
    with serve(root) as client:
        yield client


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/models/half", "/v2/models/lost", "/lost", "/v1/models"])
def test_the_clients_own_id_comes_back(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"X-Request-Id": "3f:a/7=_-@x.Y"})
    assert answer.headers.get_list("x-request-id") == ["3f:a/7=_-@x.Y"]


@pytest.mark.parametrize("id", [b"", b"a b", b"a\tb", b"x" * 129, "é".encode(), b'"', b"{}", b"\\n"], ids=repr)
def test_an_id_that_is_not_fit_for_a_log_is_replaced(client: httpx.Client, id: bytes) -> None:  # noqa: A002
    headers = {b"X-Request-Id": id}
    (made,) = client.get("/v2/health/live", headers=headers).headers.get_list("x-request-id")
    assert len(made) == 16
    assert int(made, 16) >= 0


def test_no_two_requests_have_one_id(client: httpx.Client) -> None:
    assert len({client.get("/v2/health/live").headers["x-request-id"] for _ in range(100)}) == 100


def test_outside_of_a_request_there_is_no_id() -> None:
    assert request_id() == ""
