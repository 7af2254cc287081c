"""What no client library sends: each fault ends its call or its connection, and the next call is answered at once."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode

from faults import LIMIT
from grpc_calls import HALF, INFER, Serve, answer, assert_healthy, call
from grpc_process import GrpcProcess, grpc_process
from http2_frames import GREETING, PREFACE, Kind, begin, data, frame, message, status_after
from mlbuffet.server import ServerSettings
from mlbuffet.server.protocols.open_inference.grpc_service import NAME
from small_runtimes import write_models
from waiting import wait_for

BODY = HALF.SerializeToString()
BEGIN = GREETING + begin(INFER)
STREAM = GREETING + begin(f"/{NAME}/ModelStreamInfer")
MANY = 300
RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing sends RST."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcProcess]:
    folder = tmp_path_factory.mktemp("connections")
    models = write_models(folder / "models", {"half.half": "half", "echo.echo": "float32"})
    with grpc_process(folder, models) as running:
        answer(running.channel, HALF)
        files = running.process.num_fds()
        yield running
        wait_for(lambda: running.process.num_fds() <= files)


CODES = {code.value[0]: code for code in StatusCode}
MESSAGES: dict[str, tuple[bytes, StatusCode]] = {
    "none": (b"", StatusCode.INVALID_ARGUMENT),
    "a piece of its head": (message(BODY)[:3], StatusCode.INVALID_ARGUMENT),
    "shorter than it says": (message(BODY, size=len(BODY) + 1), StatusCode.INVALID_ARGUMENT),
    "longer than it says": (message(BODY, size=len(BODY) - 1), StatusCode.INVALID_ARGUMENT),
    "4 GiB, it says": (message(BODY, size=2**32 - 1), StatusCode.RESOURCE_EXHAUSTED),
    "over the limit, it says": (message(BODY, size=LIMIT + 1), StatusCode.RESOURCE_EXHAUSTED),
    "compressed with nothing": (message(BODY, flag=1), StatusCode.INTERNAL),  # by the protocol of gRPC
    "two": (message(BODY) * 2, StatusCode.OK),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_call_with_a_message_that_is_not_one_ends_with_a_status(server: GrpcProcess, name: str) -> None:
    content, expected = MESSAGES[name]
    assert CODES[status_after(server.address, BEGIN + data(content)) or 0] is expected
    assert_healthy(server.channel)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"grpc-timeout": "0n"}, StatusCode.DEADLINE_EXCEEDED),
        ({"grpc-timeout": "99999999H"}, StatusCode.OK),
        ({"grpc-timeout": "-1S"}, StatusCode.INTERNAL),
        ({"grpc-encoding": "br"}, StatusCode.INTERNAL),
    ],
)
def test_fields_of_grpc_that_are_odd(server: GrpcProcess, fields: dict[str, str], expected: StatusCode) -> None:
    sent = GREETING + begin(INFER, fields) + data(message(BODY))
    assert CODES[status_after(server.address, sent) or 0] is expected
    assert_healthy(server.channel)


def test_metadata_of_many_kilobytes_are_refused(server: GrpcProcess) -> None:
    for size in (20_000, 1_000_000):
        code, _, _ = call(server.channel, HALF, metadata=[("x", "x" * size)])
        assert code is StatusCode.RESOURCE_EXHAUSTED
    assert call(server.channel, HALF, "/" + "x" * 100_000)[0] is StatusCode.RESOURCE_EXHAUSTED
    assert_healthy(server.channel)


NO_CALLS = {
    "HTTP/1.1": b"POST /v2/models/half/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "zeros": bytes(5000),
    "zeros after the preface": PREFACE + bytes(5000),
    "a frame of 16 MiB": GREETING + frame(Kind.DATA, bytes(10), size=2**24 - 1),
    "a frame of no stream that continues": GREETING + frame(Kind.CONTINUATION, bytes(10)),
    "a window that grows by nothing": BEGIN + frame(Kind.WINDOW_UPDATE, bytes(4), stream=0),
    "header fields that are none": GREETING + frame(Kind.HEADERS, b"\xff" * 50, flags=5),
    "10 000 pings": GREETING + frame(Kind.PING, bytes(8), stream=0) * 10_000,
}


@pytest.mark.parametrize("name", NO_CALLS)
def test_what_is_no_http2_ends_the_connection(server: GrpcProcess, name: str) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        try:
            connection.sendall(NO_CALLS[name])
            while connection.recv(65_536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert_healthy(server.channel)


def reset_call(stream: int) -> bytes:
    return begin(INFER, stream=stream) + frame(Kind.RST_STREAM, b"\0\0\0\x08", stream=stream)


UNANSWERED = {
    "nothing": b"",
    "a piece of the preface": PREFACE[:8],
    "a greeting": GREETING,
    "a call without a message": BEGIN,
    "a piece of a message": BEGIN + data(message(BODY)[:20], ends=False),
    "a stream": STREAM,
    "a stream with a piece of a message": STREAM + data(message(BODY)[:20], ends=False),
    "an answer that is not read": GREETING[:-9]
    + frame(Kind.SETTINGS, struct.pack(">HI", 4, 0), stream=0)
    + begin(INFER)
    + data(message(BODY)),
    "data of a stream that there is not": GREETING + data(message(BODY), stream=5),
    "10 000 settings": GREETING + frame(Kind.SETTINGS, stream=0) * 10_000,
    "300 calls that are reset": GREETING + b"".join(reset_call(2 * number + 1) for number in range(300)),
}


@pytest.mark.parametrize("name", UNANSWERED)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_many_connections_that_say_too_little_keep_nobody_waiting(server: GrpcProcess, name: str, how: str) -> None:
    """They stay open while others are answered; then their clients go away in the middle."""
    files = server.process.num_fds()
    with ExitStack() as connections:
        for _ in range(MANY if len(UNANSWERED[name]) < 1000 else 1):
            connection = connections.enter_context(socket.create_connection(server.address, timeout=10))
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.sendall(UNANSWERED[name])
        assert_healthy(server.channel)
    assert_healthy(server.channel)
    wait_for(lambda: server.process.num_fds() <= files)


def test_a_message_that_grpc_refuses_is_counted_as_no_other(tmp_path: Path, serve_grpc: Serve) -> None:
    models = write_models(tmp_path, {"half.half": "half"})
    with serve_grpc(models, ServerSettings(max_body=LIMIT)) as (address, http):
        host, _, port = address.rpartition(":")
        for _ in range(8):
            status_after((host, int(port)), BEGIN + data(message(BODY, size=LIMIT + 1)))
        assert "INVALID_ARGUMENT" not in http.get("/metrics").text


def test_a_message_that_does_not_arrive_in_time(tmp_path: Path, serve_grpc: Serve) -> None:
    models = write_models(tmp_path, {"half.half": "half"})
    with (
        serve_grpc(models, ServerSettings(body_seconds=0.2)) as (address, http),
        grpc.insecure_channel(address) as channel,
    ):
        host, _, port = address.rpartition(":")
        late = status_after((host, int(port)), BEGIN + data(message(BODY)[:20], ends=False))
        assert CODES[late or 0] is StatusCode.DEADLINE_EXCEEDED
        assert call(channel, HALF)[0] is StatusCode.OK
        counted = 'code="DEADLINE_EXCEEDED",model="",protocol="grpc",version=""} 1.0'
        assert counted in http.get("/metrics").text
