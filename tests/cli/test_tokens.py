"""Tokens, and pages of other sites, as the command line sets them up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from processes import address_of, serve
from waiting import wait_for

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}


@pytest.mark.parametrize("options", [[], ["--no-fast-path"], ["--workers", "2"]], ids=" ".join)
def test_a_server_takes_the_token_of_its_file_and_the_next_one(
    environment: dict[str, str], models: Path, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    process = serve(environment, models, "--predict-token-file", file, "--cors-origin", "https://a.example", *options)
    with httpx.Client(base_url=address_of(process), timeout=30) as client:

        def statuses(token: str) -> set[int]:
            headers = {"Authorization": f"Bearer {token}", "Connection": "close"}  # each may reach another process
            return {client.post("/v2/models/good/infer", json=BODY, headers=headers).status_code for _ in range(8)}

        assert (statuses("first"), statuses("second")) == ({200}, {401})
        assert client.get("/v2/health/ready").status_code == 200
        file.write_text("second")
        wait_for(lambda: (statuses("first"), statuses("second")) == ({401}, {200}))
        page = {"Origin": "https://a.example", "Authorization": "Bearer second"}
        answer = client.post("/v2/models/good/infer", json=BODY, headers=page)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://a.example")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_file_without_a_token_is_told_at_once(environment: dict[str, str], models: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words")
    _, err = serve(environment, models, "--predict-token-file", tmp_path / "token").communicate(timeout=20)
    assert f"'{tmp_path}/token' must hold a token, such as: openssl rand" in err
    assert err.count("\n") == 1


def test_the_commands_for_a_running_server_show_a_token_and_believe_a_ca(
    environment: dict[str, str], models: Path, tmp_path: Path
) -> None:
    ca, certfile, token = trustme.CA(), tmp_path / "server.pem", tmp_path / "token"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certfile))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    token.write_text("a-token")
    process = serve(environment, models, "--predict-token-file", token, "--ssl-certfile", certfile, "--json")
    assert process.stdout
    address = next(line.split('"')[3] for line in process.stdout if '"address"' in line)
    command = [sys.executable, "-m", "mlbuffet", "models", "--url", address]
    believing = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}

    def run(*arguments: object, environment: dict[str, str] = believing) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *map(str, arguments)], env=environment, capture_output=True, text=True)

    listed = run("--token-file", token)
    assert (listed.returncode, "good" in listed.stdout) == (0, True)
    assert "take 'Authorization: Bearer <token>' (status 401)" in run().stderr
    assert "certificate verify failed" in run("--token-file", token, environment=dict(os.environ)).stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
