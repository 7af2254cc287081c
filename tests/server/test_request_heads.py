"""The heads of requests that may be answered at once."""

import pytest

from mlbuffet.server.fast_path.request_heads import Head, RequestHeads, parse_head

LINE = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a"
LENGTH = b"Content-Length: 12"


def head(*lines: bytes) -> bytes:
    return b"\r\n".join(lines)


def test_a_head_is_its_path_its_headers_and_the_length_of_its_body() -> None:
    found = parse_head(head(LINE, b"X-Request-Id: 7", LENGTH, b"Connection: keep-alive"))
    headers = [(b"host", b"a"), (b"x-request-id", b"7"), (b"content-length", b"12"), (b"connection", b"keep-alive")]
    assert found == Head("/v2/models/m/infer", headers, 12)


@pytest.mark.parametrize(
    "lines",
    [
        [LINE],
        [b"GET /v2 HTTP/1.1", LENGTH],
        [b"POST / HTTP/1.0", LENGTH],
        [b"POST / HTTP/2.0", LENGTH],
        [b"POST /", LENGTH],
        [LINE, LENGTH, b"Connection: close"],
        [LINE, LENGTH, b"Proxy-Connection: close"],
        [LINE, LENGTH, *[b"a: b"] * 100],
        [LINE, LENGTH, b"Content-Encoding: gzip"],
        [LINE, LENGTH, b"Expect: 100-continue"],
        [LINE, LENGTH, b"Upgrade: h2c", b"Connection: Upgrade"],
        [LINE, LENGTH, b"Upgrade: h2c"],
        [LINE, b"Transfer-Encoding: chunked"],
        [LINE, LENGTH, b"Transfer-Encoding: chunked"],
        [LINE, LENGTH, LENGTH],
        [LINE, b"Content-Length: 1_0"],
        [LINE, b"Content-Length: +1"],
        [LINE, b"Content-Length: -1"],
        [LINE, b"Content-Length: 1000000"],
        [LINE, b"Content-Length: "],
        [LINE + b"\n" + LENGTH],
        [LINE, LENGTH + b"\nA: b"],
        [LINE, LENGTH, b"a b: c"],
        [LINE, LENGTH, b" folded"],
        [LINE.partition(b"\r")[0], LENGTH],
        [LINE, LENGTH, b"Host: a"],
        [LINE + b"@b", LENGTH],
    ],
    ids=lambda lines: repr(lines)[:80],
)
def test_what_asks_for_more_is_for_the_parser_and_the_application(lines: list[bytes]) -> None:
    assert parse_head(head(*lines)) is None


def test_each_head_is_parsed_once_as_long_as_there_is_room() -> None:
    asked = []

    def recognize(one: Head) -> str:
        asked.append(one.path)
        return one.path

    heads = RequestHeads(recognize)
    for _ in range(3):
        assert heads.find(head(LINE, LENGTH)) == "/v2/models/m/infer"
        assert heads.find(b"no head") is None
    assert asked == ["/v2/models/m/infer"]
    for number in range(300):
        assert heads.find(head(LINE, LENGTH, b"X-Request-Id: %d" % number, b"Cookie: " + b"c" * 8000))
    assert sum(map(len, heads._known)) <= 2**20


def test_a_long_head_is_not_kept() -> None:
    heads = RequestHeads(lambda one: one.path)
    assert heads.find(head(LINE, LENGTH, b"Cookie: " + b"c" * 8192)) is None
    assert not heads._known
