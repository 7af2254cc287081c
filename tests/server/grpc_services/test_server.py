"""What holds for calls of every method: limits, deadlines, clients that go away, ids, counts, who may change what."""

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
from grpc import StatusCode

from faults import LIMIT
from gated import Gated, runtimes_with
from grpc_calls import HALF, INFER, Serve, answer, assert_healthy, call, infer, raw
from mlbuffet.grpc.messages.open_inference import (
    ModelReadyResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    ServerReadyResponse,
)
from mlbuffet.grpc.status import CODES
from mlbuffet.server import ServerSettings
from mlbuffet.server.http.errors import STATUS
from mlbuffet.server.protocols.open_inference.grpc_service import NAME
from small_runtimes import write_models
from waiting import wait_for

STREAM = f"/{NAME}/ModelStreamInfer"
LOAD, UNLOAD = f"/{NAME}/RepositoryModelLoad", f"/{NAME}/RepositoryModelUnload"


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


def test_every_error_that_has_a_status_of_http_has_one_of_grpc() -> None:
    of_uploads = {"UploadRefused", "UploadTooLarge"}
    assert {kind.__name__ for kind in STATUS} - of_uploads == {kind.__name__ for kind in CODES}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused(channel: grpc.Channel, compression: grpc.Compression) -> None:
    request = raw(bytes(LIMIT + 4), shape=[LIMIT // 4 + 1])
    code, details, _ = call(channel, request, compression=compression)
    assert (code, "larger than max" in details) == (StatusCode.RESOURCE_EXHAUSTED, True), details
    assert_healthy(channel)


def test_an_answer_may_be_larger_than_a_request_may(channel: grpc.Channel) -> None:
    request = raw(np.zeros(LIMIT // 4 - 50, "<f4").tobytes(), shape=[LIMIT // 4 - 50])
    request.parameters["signature_name"].string_param = "both"
    with grpc.insecure_channel(channel._channel.target(), [("grpc.max_receive_message_length", -1)]) as patient:
        assert len(answer(patient, request).raw_output_contents) == 2


def test_compressed_bombs_take_no_memory(channel: grpc.Channel) -> None:
    bomb = raw(bytes(200 * 2**20), shape=[50 * 2**20]).SerializeToString()
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        assert call(channel, bomb, compression=grpc.Compression.Gzip, timeout=60)[0] is StatusCode.RESOURCE_EXHAUSTED
    assert_healthy(channel)
    assert psutil.Process().memory_info().rss - before < 600 * 2**20  # client and server are one process here


def test_a_deadline_of_a_millisecond(channel: grpc.Channel) -> None:
    for _ in range(20):
        assert call(channel, HALF, timeout=0.001)[0] in (StatusCode.DEADLINE_EXCEEDED, StatusCode.OK)
    assert_healthy(channel)


def test_a_deadline_of_the_server(tmp_path: Path, serve_grpc: Serve) -> None:
    settings = ServerSettings(request_timeout=0.05)
    models = write_models(tmp_path, {"sleep.sleep": ""})
    second = infer("sleep", inputs=[{"name": "x", "datatype": "FP32"}], raw_input_contents=[np.float32(1).tobytes()])
    with serve_grpc(models, settings) as (address, _), grpc.insecure_channel(address) as channel:
        code, details, _ = call(channel, second)
        assert (code, details) == (StatusCode.DEADLINE_EXCEEDED, "the model did not answer within 0.05 seconds")


def gated(*values: float) -> bytes:
    request = infer(
        "a",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [len(values)]}],
        raw_input_contents=[np.array(values, "<f4").tobytes()],
    )
    encoded: bytes = request.SerializeToString()
    return encoded


@pytest.mark.parametrize("how", ["cancelled", "deadline", "connection"])
def test_a_call_whose_client_goes_away_while_it_waits_is_not_run(tmp_path: Path, serve_grpc: Serve, how: str) -> None:
    plugin = Gated()
    models = write_models(tmp_path, {"a/m.gated": "", "a/model.toml": "[scheduling]\nmax_concurrency = 1"})
    with (
        serve_grpc(models, runtimes=runtimes_with(plugin)) as (address, http),
        grpc.insecure_channel(address) as channel,
        grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as leaving,
    ):
        first = channel.unary_unary(INFER).future(gated(1))
        wait_for(lambda: plugin.seen == {1})
        second = leaving.unary_unary(INFER).future(gated(2), timeout=0.2 if how == "deadline" else 30)
        wait_for(lambda: 'calls_waiting{model="a",version="1"} 1.0' in http.get("/metrics").text)
        if how == "cancelled":
            second.cancel()
        elif how == "connection":
            leaving.close()
        wait_for(lambda: 'calls_waiting{model="a",version="1"} 0.0' in http.get("/metrics").text)
        plugin.gate.set()
        first.result(timeout=10)
        assert answer(channel, gated(3)).raw_output_contents[0] == np.array([6], "<f4").tobytes()
        assert plugin.seen == {1, 3}
        code = "DEADLINE_EXCEEDED" if how == "deadline" else "CANCELLED"
        assert requests(http, "grpc", code) == 1


@pytest.mark.parametrize("how", ["cancelled", "connection"])
def test_what_waits_of_a_stream_whose_client_goes_away_is_not_run(tmp_path: Path, serve_grpc: Serve, how: str) -> None:
    plugin = Gated()
    models = write_models(tmp_path, {"a/m.gated": "", "a/model.toml": "[scheduling]\nmax_concurrency = 1"})
    with (
        serve_grpc(models, runtimes=runtimes_with(plugin)) as (address, http),
        grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as leaving,
    ):
        never = threading.Event()

        def requests_of_a_client() -> Iterator[bytes]:
            yield from (gated(number) for number in range(5))
            never.wait(20)

        stream = leaving.stream_stream(STREAM)(requests_of_a_client())
        wait_for(lambda: 'calls_waiting{model="a",version="1"} 4.0' in http.get("/metrics").text)
        if how == "cancelled":
            stream.cancel()
        else:
            leaving.close()
        wait_for(lambda: 'calls_waiting{model="a",version="1"} 0.0' in http.get("/metrics").text)
        never.set()
        plugin.gate.set()
        with grpc.insecure_channel(address) as channel:
            assert answer(channel, gated(7)).raw_output_contents[0] == np.array([14], "<f4").tobytes()
        assert plugin.seen == {0, 7}


def test_a_full_queue_says_when_to_try_again(tmp_path: Path, serve_grpc: Serve) -> None:
    plugin = Gated()
    limits = "[scheduling]\nmax_concurrency = 1\nmax_queue = 0"
    models = write_models(tmp_path, {"a/m.gated": "", "a/model.toml": limits})
    with (
        serve_grpc(models, runtimes=runtimes_with(plugin)) as (address, http),
        grpc.insecure_channel(address) as channel,
    ):
        first = channel.unary_unary(INFER).future(gated(1))
        wait_for(lambda: plugin.seen)
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(INFER)(gated(2))
        assert refused.value.code() is StatusCode.UNAVAILABLE
        assert dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        plugin.gate.set()
        first.result(timeout=10)
        assert requests(http, "grpc", "UNAVAILABLE") == 1


def requests(http: httpx.Client, protocol: str, code: str) -> int:
    """How many requests were counted that ended so."""
    lines = re.findall(r"^mlbuffet_requests_total\{(.+)\} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return sum(
        int(float(number)) for labels, number in lines if f'protocol="{protocol}"' in labels and f'"{code}"' in labels
    )


def test_each_call_is_counted_once_with_its_code(tmp_path: Path, serve_grpc: Serve) -> None:
    models = write_models(tmp_path, {"half.half": "half"})
    with serve_grpc(models) as (address, http), grpc.insecure_channel(address) as channel:
        for message in (HALF, HALF, infer(inputs=[]), infer("nowhere"), b"\xff"):
            call(channel, message)
        call(channel, b"", f"/{NAME}/Nothing")
        call(channel, b"", "/some.Service/" + "a" * 100)
        metrics = http.get("/metrics").text
        assert 'code="OK",model="half",protocol="grpc",version="1"} 2.0' in metrics
        assert 'code="INVALID_ARGUMENT",model="half",protocol="grpc",version="1"} 1.0' in metrics
        assert 'code="NOT_FOUND",model="",protocol="grpc",version=""} 1.0' in metrics
        assert 'code="UNIMPLEMENTED",model="",protocol="grpc",version=""} 1.0' in metrics
        assert 'code="UNIMPLEMENTED",model="",protocol="other",version=""} 1.0' in metrics
        assert "aaaa" not in metrics
        assert "nowhere" not in metrics


def test_the_ids_of_clients_and_new_ones(channel: grpc.Channel, caplog: pytest.LogCaptureFixture) -> None:
    stub = channel.unary_unary(INFER)
    body = HALF.SerializeToString()

    def id_of(*metadata: tuple[str, str]) -> str:
        _, ended = stub.with_call(body, metadata=metadata)
        return str(dict(ended.trailing_metadata())["x-request-id"])

    assert id_of(("x-request-id", "mine-7")) == "mine-7"
    assert re.fullmatch("[0-9a-f]{16}", id_of(("x-request-id", "not valid")))
    assert id_of() != id_of()
    with pytest.raises(grpc.RpcError) as refused:
        stub(infer("nowhere").SerializeToString(), metadata=[("x-request-id", "mine-8")])
    assert dict(refused.value.trailing_metadata())["x-request-id"] == "mine-8"


def test_the_access_log_has_a_line_for_each_call(
    tmp_path: Path, serve_grpc: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mlbuffet.access")
    models = write_models(tmp_path, {"half.half": "half"})
    settings = ServerSettings(access_log=True)
    with serve_grpc(models, settings) as (address, _), grpc.insecure_channel(address) as channel:
        call(channel, HALF)
        call(channel, infer("nowhere"))
    lines = [record.fields for record in caplog.records if record.name == "mlbuffet.access"]  # type: ignore[attr-defined]
    assert [line["status"] for line in lines] == ["OK", "NOT_FOUND"]
    assert lines[0] | {"milliseconds": 0} == {
        "client": "127.0.0.1",
        "method": "gRPC",
        "path": INFER,
        "status": "OK",
        "milliseconds": 0,
        "model": "half",
        "version": 1,
    }


def test_defects_show_nothing_of_the_inside(
    channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("mlbuffet.server.protocols.open_inference.grpc_prediction.encode_message", fail)
    assert call(channel, HALF)[:2] == (StatusCode.INTERNAL, "internal error; the server's log has the cause")
    assert "a secret" in caplog.text
    assert "ModelInfer, version 1 of the model 'half' failed" in caplog.text


def test_streams_that_end_before_they_begin_or_are_left_open(channel: grpc.Channel) -> None:
    assert list(channel.stream_stream(STREAM)(iter(()), timeout=5)) == []
    never = threading.Event()

    def wait() -> Iterator[bytes]:
        never.wait(10)
        yield from ()

    open_stream = channel.stream_stream(STREAM)(wait())
    assert_healthy(channel)
    open_stream.cancel()
    never.set()
    assert_healthy(channel)


TOKEN = "s3cret"
SHOWN = {"authorization": f"Bearer {TOKEN}"}
CHANGES = {
    "read-only": (ServerSettings(read_only=True, admin_token=TOKEN), SHOWN, "PERMISSION_DENIED"),
    "not local": (ServerSettings(), {}, "PERMISSION_DENIED"),
    "through a proxy": (ServerSettings(allow_changes=True), {"x-forwarded-for": "1.2.3.4"}, "PERMISSION_DENIED"),
    "local": (ServerSettings(allow_changes=True), {}, "OK"),
    "no token": (ServerSettings(admin_token=TOKEN), {}, "UNAUTHENTICATED"),
    "a wrong token": (ServerSettings(admin_token=TOKEN), {"authorization": "Bearer other"}, "UNAUTHENTICATED"),
    "another scheme": (ServerSettings(admin_token=TOKEN), {"authorization": f"Basic {TOKEN}"}, "UNAUTHENTICATED"),
    "the token": (ServerSettings(admin_token=TOKEN), SHOWN, "OK"),
    "several workers": (ServerSettings(workers=2, allow_changes=True), {}, "PERMISSION_DENIED"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_who_may_change_what_is_served(tmp_path: Path, serve_grpc: Serve, name: str) -> None:
    settings, metadata, expected = CHANGES[name]
    models = write_models(tmp_path, {"half.half": "half"})
    with serve_grpc(models, settings) as (address, _), grpc.insecure_channel(address) as channel:
        for path in (UNLOAD, LOAD):
            message = RepositoryModelLoadRequest(model_name="half")
            code, details, _ = call(channel, message, path, metadata=list(metadata.items()))
            assert code.name == expected, details
        assert_healthy(channel)


def test_kserves_request_to_load_has_the_model_in_the_first_field(channel: grpc.Channel) -> None:
    code, _, body = call(channel, b"\x0a\x04half", LOAD)
    assert code is StatusCode.OK
    assert RepositoryModelLoadResponse.FromString(body).isLoaded


def test_a_server_that_loads_is_live_and_not_ready(slow: object, may_load: threading.Event, run_app: object) -> None:
    from mlbuffet.server import create_app
    from mlbuffet.server.processes.port_reservation import reserve

    with reserve("127.0.0.1", 0) as held:
        host, port = held.getsockname()
        app = create_app(slow, ServerSettings(grpc_address=(host, port)))  # type: ignore[arg-type]
        with run_app(app) as http, grpc.insecure_channel(f"{host}:{port}") as channel:  # type: ignore[operator]
            wait_for(lambda: http.get("/v2/health/live").status_code == 200)
            assert not ServerReadyResponse.FromString(call(channel, b"", f"/{NAME}/ServerReady")[2]).ready
            code, _, body = call(channel, b"\x0a\x04half", f"/{NAME}/ModelReady")
            assert (code, ModelReadyResponse.FromString(body).ready) == (StatusCode.OK, False)
            assert call(channel, HALF)[0] is StatusCode.UNAVAILABLE
            may_load.set()
            wait_for(lambda: ServerReadyResponse.FromString(call(channel, b"", f"/{NAME}/ServerReady")[2]).ready)
            assert_healthy(channel)
