"""How a server is reached: TLS, Unix sockets, IPv6, behind the path of a proxy, and while it ends."""

import json
import re
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
import trustme

from processes import read_until, serve
from waiting import wait_for

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
WAYS = [[], ["--no-fast-path"], ["--workers", "2"]]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certfile(ca: trustme.CA, tmp_path: Path) -> Path:
    """A certificate with its key."""
    path = tmp_path / "server.pem"
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def trusting(ca: trustme.CA, shown: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


@contextmanager
def running(environment: dict[str, str], *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and the address that it shows."""
    process = serve(environment, *arguments)
    try:
        yield process, re.findall(r"serving on (\S+)", read_until(process, "serving on"))[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def infer(client: httpx.Client) -> list[float]:
    answers = [client.post("/v2/models/good/infer", json=BODY) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    (values,) = {tuple(answer.json()["outputs"][0]["data"]) for answer in answers}
    return list(values)


def serial_of(address: str, context: ssl.SSLContext) -> object:
    host, _, port = address.removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host) as one:
        shown = one.getpeercert()
        assert shown
        return shown["serialNumber"]


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_https_answers_as_http_does(
    environment: dict[str, str], models: Path, ca: trustme.CA, certfile: Path, options: list[str]
) -> None:
    with running(environment, models, "--ssl-certfile", certfile, *options) as (_, address):
        assert address.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=address, verify=trusting(ca)) as client:
            assert infer(client) == [2.5]
            with pytest.raises(httpx.TransportError):
                httpx.get(address.replace("https", "http"))
            refused = client.get("/v2", headers={"x": "y" * 70_000})
            assert refused.status_code == 431


def test_with_a_ca_clients_must_show_a_certificate_of_it(
    environment: dict[str, str], models: Path, ca: trustme.CA, certfile: Path, tmp_path: Path
) -> None:
    trusted, stranger = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    arguments = ["--ssl-certfile", certfile, "--ssl-ca-certs", tmp_path / "clients.pem"]
    with running(environment, models, *arguments) as (_, address):
        with httpx.Client(base_url=address, verify=trusting(ca, trusted.issue_cert("client@example.org"))) as client:
            assert infer(client) == [2.5]
        for shown in (None, stranger.issue_cert("client@example.org")):
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{address}/v2/health/live", verify=trusting(ca, shown))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_brings_new_certificates_and_wrong_ones_change_nothing(
    environment: dict[str, str], models: Path, ca: trustme.CA, certfile: Path, workers: int
) -> None:
    process = serve(environment, models, "--ssl-certfile", certfile, "--workers", workers)
    address = re.findall(r"serving on (\S+)", read_until(process, "serving on"))[0]
    context = trusting(ca)
    with httpx.Client(base_url=address, verify=context) as client:
        before = serial_of(address, context)
        good = ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        certfile.write_text("no certificate")
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert {serial_of(address, context) for _ in range(10)} == {before}
        certfile.write_bytes(good)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: serial_of(address, context) != before)
        wait_for(lambda: len({serial_of(address, context) for _ in range(10)} - {before}) == 1)
        assert infer(client) == [2.5]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "the certificates stay as they were: " in err
    assert f"the certificates were read again from '{certfile}'" in err


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ("", ["--ssl-certfile", "{place}/none"], "'{place}/none' cannot be read: no such file or directory"),
        ("nothing", ["--ssl-certfile", "{place}/made"], "'{place}/made' and '{place}/made' are no PEM files"),
        ("", ["--ssl-keyfile", "{place}/made"], "--ssl-keyfile and --ssl-ca-certs take --ssl-certfile"),
        ("", ["--drain", "5", "--grace", "5"], "--drain 5 is part of --grace 5, and must be less"),
        ("", ["--root-path", "models"], "'models' is no path; write one such as /models"),
        ("x", ["--uds", "{place}/made"], "'{place}/made' is there, and no socket; choose another path with --uds"),
        ("", ["--uds", "{place}/none/made"], "cannot listen at '{place}/none/made': no such file or directory"),
    ],
)
def test_what_cannot_be_served_so_is_told_at_once(
    environment: dict[str, str], models: Path, tmp_path: Path, made: str, options: list[str], message: str
) -> None:
    (tmp_path / "made").write_text(made)
    _, err = serve(environment, models, *(one.format(place=tmp_path) for one in options)).communicate(timeout=20)
    assert message.format(place=tmp_path) in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_key_with_a_password_or_of_another_certificate_is_told(
    environment: dict[str, str], models: Path, ca: trustme.CA, certfile: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    ca.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(other))
    arguments = ["--ssl-certfile", certfile, "--ssl-keyfile", other]
    _, err = serve(environment, models, *arguments).communicate(timeout=20)
    assert "are no PEM files of a certificate chain and its key (key values mismatch)" in err
    alone = tmp_path / "alone.pem"
    ca.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(str(alone))
    _, err = serve(environment, models, "--ssl-certfile", alone).communicate(timeout=20)
    assert err == f"error: there is no key in '{alone}': give the file of the key with --ssl-keyfile\n"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", str(certfile), "-out", str(other)]
    if subprocess.run(command, capture_output=True).returncode:  # this key is no RSA key
        command[1] = "ec"
        subprocess.run(command, check=True, capture_output=True)
    _, err = serve(environment, models, *arguments).communicate(timeout=20)
    assert err.startswith("error: the key is encrypted")


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_unix_socket_is_there_for_the_group_while_it_serves(
    environment: dict[str, str], models: Path, tmp_path: Path, options: list[str], ending: signal.Signals
) -> None:
    path = tmp_path / "http.sock"
    process = serve(environment, models, "--uds", path, *options)
    assert f"serving on unix:{path} (Ctrl-C ends it)" in read_until(process, "serving on")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
        assert infer(client) == [2.5]
        refused = client.delete("/api/v1/models/good")
        reason = "2 processes" if "--workers" in options else "--admin-token-file"
        assert (refused.status_code, reason in refused.json()["error"]) == (403, True)
    process.send_signal(ending)
    process.communicate(timeout=20)
    assert process.returncode == (0 if ending is signal.SIGINT else -ending)
    assert not path.exists()


def test_the_socket_of_a_server_that_was_killed_is_replaced_and_that_of_another_is_not(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "http.sock"
    killed = serve(environment, models, "--uds", path)
    read_until(killed, "serving on")
    killed.kill()
    killed.communicate(timeout=20)
    assert path.exists()
    with running(environment, models, "--uds", path):
        _, err = serve(environment, models, "--uds", path).communicate(timeout=20)
        assert err == f"error: another server listens at '{path}'; stop it, or choose another path with --uds\n"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
            assert infer(client) == [2.5]


@pytest.mark.parametrize(("host", "addresses"), [("::1", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"])])
def test_ipv6_is_served_and_the_unspecified_address_is_both(
    environment: dict[str, str], models: Path, host: str, addresses: list[str]
) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    process = serve(environment, models, "--host", host, "--access-log", "--trusted-proxy", "127.0.0.1")
    shown = re.findall(r"serving on (\S+)", read_until(process, "serving on"))[0]
    assert shown.startswith(f"http://[{host}]:")
    for address in addresses:
        with httpx.Client(base_url=f"http://{address}:{shown.rpartition(':')[2]}") as client:
            assert infer(client) == [2.5]
            client.get("/v2", headers={"X-Forwarded-For": "192.0.2.7"})
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "::1 POST /v2/models/good/infer 200" in err
    if len(addresses) > 1:
        assert " 127.0.0.1 POST /v2/models/good/infer 200" in err
        assert " 192.0.2.7 GET /v2 200" in err


@pytest.mark.parametrize("options", [[], ["--no-fast-path"]], ids=" ".join)
def test_a_proxy_may_take_its_path_off(environment: dict[str, str], models: Path, options: list[str]) -> None:
    with (
        running(environment, models, "--root-path", "/ml/", *options) as (_, address),
        httpx.Client(base_url=address) as client,
    ):
        assert infer(client) == [2.5]
        assert client.get("/v2/models/good").json()["name"] == "good"
        counted = re.findall(r'mlbuffet_requests_total{.*protocol="(.*?)"', client.get("/metrics").text)
        assert set(counted) == {"v2"}
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/ml"}]


@pytest.mark.parametrize("workers", [1, 2])
def test_while_it_drains_a_server_is_not_ready_and_takes_connections(
    environment: dict[str, str], models: Path, workers: int
) -> None:
    process = serve(environment, models, "--drain", "4", "--grace", "20", "--workers", workers)
    address = re.findall(r"serving on (\S+)", read_until(process, "serving on"))[0]
    process.send_signal(signal.SIGTERM)
    signalled = time.monotonic()
    wait_for(lambda: status(f"{address}/v2/health/ready") == 503)
    assert time.monotonic() - signalled < 2.5
    while time.monotonic() - signalled < 2.5:
        with httpx.Client(base_url=address) as client:
            assert infer(client) == [2.5]
            assert client.get("/v2/health/ready").status_code == 503
    assert process.wait(10) == -signal.SIGTERM
    assert 3.5 < time.monotonic() - signalled < 15
    process.communicate()


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_while_it_drains_each_connection_is_closed_with_its_next_response(
    environment: dict[str, str], models: Path, options: list[str]
) -> None:
    process = serve(environment, models, "--drain", "4", "--grace", "20", *options)
    address = re.findall(r"serving on (\S+)", read_until(process, "serving on"))[0]
    host, _, port = address.removeprefix("http://").rpartition(":")
    body = json.dumps(BODY).encode()
    head = b"POST /v2/models/good/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def connection() -> str | None:
        answer = HTTPResponse(one)
        answer.begin()
        assert (answer.status, answer.read()[-8:]) == (200, b"[2.5]}]}")
        return answer.headers["connection"]

    connections = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
    for one in connections:
        one.sendall(request)
        assert connection() is None
    slow, _ = connections
    slow.sendall(request[:-5])
    process.send_signal(signal.SIGTERM)
    time.sleep(1)  # all workers have heard of it
    for one in connections:
        one.sendall(request[-5:] if one is slow else request)
        assert connection() == "close"
        assert one.recv(1) == b""
        one.close()
    assert httpx.get(f"{address}/v2").headers["connection"] == "close"
    assert process.wait(10) == -signal.SIGTERM
    process.communicate()


def status(url: str) -> int:
    return httpx.get(url).status_code
