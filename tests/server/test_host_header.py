"""A request of HTTP/1.1 names its host once, and as a name or an address."""

import json
import re
import socket

import httpx
import pytest

from mlbuffet.server.http.host_header import host_problem

BODY = json.dumps({"instances": [1.0]}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


def status_of(client: httpx.Client, request: bytes) -> list[int]:
    """The status of each answer until the server closes the connection, as it does behind a request that is wrong."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        connection.sendall(request)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


WRONG = {
    "none": b"",
    "two": b"Host: a\r\nHost: a\r\n",
    "two in other letters": b"host: a\r\nX: y\r\nHOST: b\r\n",
    "empty": b"Host:\r\n",
    "only a port": b"Host: :80\r\n",
    "a space": b"Host: a b\r\n",
    "a user": b"Host: user@a\r\n",
    "a path": b"Host: a/b\r\n",
    "a scheme": b"Host: http://a\r\n",
    "a query": b"Host: a?b\r\n",
    "a port that is no number": b"Host: a:http\r\n",
    "a port that is too large": b"Host: a:65536\r\n",
    "two ports": b"Host: a:1:2\r\n",
    "IPv6 without brackets": b"Host: ::1\r\n",
    "an open bracket": b"Host: [::1\r\n",
    "two in one": b"Host: a, b\r\n",
    "not ASCII": b"Host: \xc3\xa9\r\n",
    "a cut escape": b"Host: a%2\r\n",
}
RIGHT = [
    b"a",
    b"127.0.0.1:8000",
    b"[::1]:8000",
    b"[fe80::1%25eth0]",
    b"my_model.default.svc:80",
    b"a:",
    b"A-1",
    b"%C3%A9",
]


@pytest.mark.parametrize("host", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "request_line", [b"POST /v1/models/half:predict HTTP/1.1\r\n", b"POST /v2/repository/index HTTP/1.1\r\n"]
)
def test_a_request_without_one_right_host_is_refused(client: httpx.Client, request_line: bytes, host: bytes) -> None:
    assert status_of(client, request_line + host + LENGTH + b"\r\n" + BODY) == [400]
    assert client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("host", RIGHT)
def test_a_name_or_an_address_is_a_host(client: httpx.Client, host: bytes) -> None:
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n"
    assert status_of(client, head + LENGTH + b"\r\n" + BODY) == [200]


def test_http_1_0_needs_no_host_and_takes_no_wrong_one(client: httpx.Client) -> None:
    head = b"POST /v1/models/half:predict HTTP/1.0\r\n" + LENGTH
    assert status_of(client, head + b"\r\n" + BODY) == [200]
    assert status_of(client, head + b"Host: a/b\r\n\r\n" + BODY) == [400]


def test_an_absolute_address_needs_a_host_too(client: httpx.Client) -> None:
    head = b"POST http://a/v1/models/half:predict HTTP/1.1\r\nConnection: close\r\n" + LENGTH
    assert status_of(client, head + b"Host: a\r\n\r\n" + BODY) == [200]
    assert status_of(client, head + b"\r\n" + BODY) == [400]


def test_in_a_pipeline_what_came_before_is_answered(client: httpx.Client) -> None:
    head = b"POST /v1/models/half:predict HTTP/1.1\r\n" + LENGTH
    good, bad = head + b"Host: a\r\n\r\n" + BODY, head + b"\r\n" + BODY
    assert status_of(client, good + good + bad + good) == [200, 200, 400]


def test_the_message_says_what_is_wrong() -> None:
    assert host_problem([], "1.1") == "the request has no header Host, which HTTP/1.1 asks for"
    assert host_problem([(b"host", b"a")] * 3, "1.0") == "the request has 3 headers Host; send one"
    assert host_problem([(b"host", b"a/b")], "1.1") is not None
    assert host_problem([(b"host", b"a"), (b"x", b"")], "1.1") is None
