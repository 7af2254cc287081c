"""``mlbuffet serve --grpc-port``: where it answers, how it ends, and several workers."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import pytest
import trustme
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from grpc_calls import HALF, answer, call, infer
from mlbuffet.server.processes.port_reservation import reserve
from mlbuffet.server.protocols.open_inference.grpc_service import NAME
from processes import read_until, serve
from waiting import wait_for

ALONE = [("grpc.use_local_subchannel_pool", 1)]
HALF_OF_GOOD = infer("good", inputs=HALF.inputs)


def addresses(process: subprocess.Popen[str]) -> str:
    """Where gRPC is answered, once it is."""
    return str(re.findall(r"serving gRPC on (\S+)", read_until(process, "serving on"))[0])


def seconds(value: float, model: str = "a") -> bytes:
    tensor = {"name": "x", "datatype": "FP32"}
    request = infer(model, inputs=[tensor], raw_input_contents=[np.float32(value).tobytes()])
    encoded: bytes = request.SerializeToString()
    return encoded


def wait_and_end(ended: threading.Event) -> Iterator[bytes]:
    ended.wait(30)
    yield from ()


def test_a_second_port_answers_grpc_from_the_same_models(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models / "good.half", "--grpc-port", 0)
    with grpc.insecure_channel(addresses(process)) as channel:
        request = infer("good", inputs=HALF.inputs)
        assert list(answer(channel, request).outputs[0].contents.fp32_contents) == [2.5, 3.0, 4.5]
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in errors


def test_the_address_of_grpc_is_in_what_machines_read(environment: dict[str, str], models: Path) -> None:
    process = serve(environment, models / "good.half", "--grpc-port", 0, "--json")
    assert re.search(r'"grpc_address": "127\.0\.0\.1:\d+"', read_until(process, "imports"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_what_was_accepted_is_answered_after_sigterm(environment: dict[str, str], tmp_path: Path) -> None:
    """Not ready first; then no new calls, streams end, and the calls under way are answered."""
    (tmp_path / "a.sleep").touch()
    process = serve(environment, tmp_path / "a.sleep", "--grpc-port", 0)
    with grpc.insecure_channel(addresses(process)) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest())
        assert next(watch).status == HealthCheckResponse.SERVING
        never = threading.Event()
        stream = channel.stream_stream(f"/{NAME}/ModelStreamInfer")(wait_and_end(never))
        running = channel.unary_unary(f"/{NAME}/ModelInfer").future(seconds(3), timeout=20)
        time.sleep(0.5)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        assert list(watch) == []
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.code() is StatusCode.UNAVAILABLE
        assert running.result(timeout=20)
        process.communicate(timeout=20)
        assert time.monotonic() - begun < 10
        never.set()


def test_several_workers_answer_and_one_that_is_killed_is_replaced(environment: dict[str, str], model: Path) -> None:
    process = serve(environment, "--workers", 2, "--grpc-port", 0, model)
    address = addresses(process)

    def who(_: int = 0) -> int:
        with grpc.insecure_channel(address, ALONE) as channel:
            body = channel.unary_unary(f"/{NAME}/ModelInfer")(seconds(0.02), timeout=20, wait_for_ready=True)
            return int(np.frombuffer(body[-8:], "<i8")[0])

    with ThreadPoolExecutor(16) as pool:
        wait_for(lambda: len(set(pool.map(who, range(32)))) == 2, 60)
        killed, other = set(pool.map(who, range(32)))
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(killed))
        assert who() == other
        wait_for(lambda: len(set(pool.map(who, range(32))) - {killed}) == 2, 60)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert f"the worker {killed} ended (signal 9)" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("host", "reached"), [("::1", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"])])
def test_ipv6_is_served_and_the_unspecified_address_is_both(
    environment: dict[str, str], models: Path, host: str, reached: list[str]
) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    process = serve(environment, models / "good.half", "--host", host, "--grpc-port", 0, "--access-log")
    shown = addresses(process)
    assert shown.startswith(f"[{host}]:")
    for address in reached:
        with grpc.insecure_channel(f"{address}:{shown.rpartition(':')[2]}") as channel:
            assert call(channel, HALF_OF_GOOD)[0] is StatusCode.OK
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert [address.strip("[]") for address in reached] == re.findall(r"(\S+) gRPC .*ModelInfer OK", errors)


def test_beside_a_unix_socket_grpc_has_its_port(environment: dict[str, str], models: Path, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    process = serve(environment, models / "good.half", "--uds", path, "--grpc-port", 0)
    address = addresses(process)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
        assert client.get("/v2/models/good/ready").status_code == 200
    with grpc.insecure_channel(address) as channel:
        assert call(channel, HALF_OF_GOOD)[0] is StatusCode.OK
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    with grpc.insecure_channel(address, ALONE) as channel:
        assert call(channel, HALF_OF_GOOD)[0] is StatusCode.UNAVAILABLE


def test_a_port_in_use_is_told_in_one_line(environment: dict[str, str], models: Path) -> None:
    first = serve(environment, models / "good.half", "--grpc-port", 0)
    port = addresses(first).rpartition(":")[2]
    second = serve(environment, models / "good.half", "--grpc-port", port)
    _, error = second.communicate(timeout=20)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=20)
    assert second.returncode == 2
    assert error == (
        f"error: port {port} of 127.0.0.1 is in use; stop what listens there, or choose another with --grpc-port\n"
    )


def test_a_port_that_others_share_is_not_shared_with_them() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            reserve("127.0.0.1", other.getsockname()[1])


def test_without_its_packages_the_option_says_what_to_install(environment: dict[str, str], models: Path) -> None:
    code = (
        "import sys, importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'grpc_health' else find(name, *more)\n"
        f"from mlbuffet.cli import main; sys.argv = ['mlbuffet', 'serve', {str(models)!r}, '--grpc-port', '0']; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 2
    assert "--grpc-port takes packages that are not installed: pip install 'mlbuffet[grpc]'" in ran.stderr


def test_a_server_stops_while_clients_ask(environment: dict[str, str], tmp_path: Path) -> None:
    """Each call that was accepted is answered; those that came too late are UNAVAILABLE."""
    (tmp_path / "a.sleep").touch()
    process = serve(environment, tmp_path / "a.sleep", "--grpc-port", 0)
    address, codes = addresses(process), list[StatusCode]()

    def ask() -> None:
        with grpc.insecure_channel(address, ALONE) as channel:
            while not codes or codes[-1] is StatusCode.OK:
                codes.append(call(channel, seconds(0.01))[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(codes) > 50)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    process.communicate(timeout=20)
    assert set(codes) == {StatusCode.OK, StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("workers", [1, 2])
def test_with_a_certificate_grpc_is_answered_over_tls_and_a_hangup_brings_another(
    environment: dict[str, str], models: Path, tmp_path: Path, workers: int
) -> None:
    first, second = trustme.CA(), trustme.CA()
    certfile = write_certificate(first, tmp_path)
    options = ["--grpc-port", 0, "--workers", workers, "--ssl-certfile", certfile]
    process = serve(environment, models / "good.half", *options)
    address = addresses(process)
    assert asked(address, first) is StatusCode.OK
    assert asked(address, second) is StatusCode.UNAVAILABLE
    with grpc.insecure_channel(address, ALONE) as channel:
        assert call(channel, HALF_OF_GOOD)[0] is StatusCode.UNAVAILABLE
    certfile.write_text("no certificate")
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert asked(address, first) is StatusCode.OK
    write_certificate(second, tmp_path)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: {asked(address, second) for _ in range(8)} == {StatusCode.OK}, 20)
    assert asked(address, first) is StatusCode.UNAVAILABLE
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors


def test_with_a_ca_clients_of_grpc_must_show_a_certificate_of_it(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    ca, trusted, stranger = trustme.CA(), trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    options = ["--ssl-certfile", write_certificate(ca, tmp_path), "--ssl-ca-certs", tmp_path / "clients.pem"]
    process = serve(environment, models / "good.half", "--grpc-port", 0, *options)
    address = addresses(process)
    assert asked(address, ca, trusted) is StatusCode.OK
    assert asked(address, ca, stranger) is StatusCode.UNAVAILABLE
    assert asked(address, ca) is StatusCode.UNAVAILABLE
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_the_token_for_predictions_is_wanted_over_grpc_too(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret")
    process = serve(environment, models / "good.half", "--grpc-port", 0, "--predict-token-file", tmp_path / "token")
    with grpc.insecure_channel(addresses(process)) as channel:
        assert call(channel, HALF_OF_GOOD)[0] is StatusCode.UNAUTHENTICATED
        assert call(channel, HALF_OF_GOOD, metadata=(("authorization", "Bearer secret"),))[0] is StatusCode.OK
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def write_certificate(ca: trustme.CA, folder: Path) -> Path:
    path = folder / "server.pem"
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def asked(address: str, trusted: trustme.CA, shown: trustme.CA | None = None) -> StatusCode:
    """How a call over a new connection ends, by a client that shows a certificate of ``shown``."""
    key, chain = None, None
    if shown is not None:
        certificate = shown.issue_cert("client@example.org")
        key = certificate.private_key_pem.bytes()
        chain = b"".join(one.bytes() for one in certificate.cert_chain_pems)
    credentials = grpc.ssl_channel_credentials(trusted.cert_pem.bytes(), key, chain)
    with grpc.secure_channel(address, credentials, ALONE) as channel:
        return call(channel, HALF_OF_GOOD)[0]
