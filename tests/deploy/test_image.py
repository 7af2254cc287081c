"""The Dockerfile says what it should, and what it starts serves; `make image` builds it and starts its containers."""

import os
import ssl
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
import trustme

from containers import served
from dockerfile import DOCKERFILE, Step, image_of, our_image, stages_of
from image_root import Builder, _StageBuilder

ROOT = DOCKERFILE.parents[1]
STAGES = stages_of(DOCKERFILE.read_text())
HEALTHCHECK = ROOT / "deploy/healthcheck.py"


def test_a_dockerfile_is_read_as_docker_reads_it() -> None:
    text = "ARG BASE=1\nFROM a:${BASE} AS b\nARG X=2\n# no\nRUN one && \\\n    two\n"
    text += 'FROM c\nARG Y\nENV P="q r" \\\n  Z=${Y}\nCMD ["s", "t u"]'
    first, last = stages_of(text, {"BASE": "3"})
    assert (first.base, first.name, last.base) == ("a:3", "b", "c")
    assert first.steps == [Step("ARG", "X=2"), Step("RUN", "one &&      two")]
    image = image_of(last, {"Y": "yes"})
    assert (image.environment, image.command) == ({"P": "q r", "Z": "yes"}, ["s", "t u"])


def test_the_last_stage_only_copies_what_was_built() -> None:
    build, last = STAGES
    assert build.base == last.base
    assert "RUN" in [step.instruction for step in build.steps]
    assert "RUN" not in [step.instruction for step in last.steps]


def test_the_image_says_what_runs_it_needs() -> None:
    image = our_image()
    assert image.user == "10001:10001"
    assert image.stop_signal == "SIGTERM"
    assert image.environment["MLBUFFET_HOST"] == "0.0.0.0"
    assert {"title", "description", "licenses", "version", "revision"} == {
        name.removeprefix("org.opencontainers.image.") for name in image.labels
    }
    assert image.healthcheck == ["/opt/mlbuffet/bin/python", "-IS", "/opt/mlbuffet/healthcheck.py"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        word
        for stage in STAGES
        for step in stage.steps
        if step.instruction == "COPY" and "--from" not in step.text
        for word in step.words[:-1]
    ]
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / name).exists() for name in copied)


def test_the_version_of_the_image_is_that_of_the_package() -> None:
    version = f'version = "{our_image().labels["org.opencontainers.image.version"]}"'
    assert version.replace("${VERSION}", "1.0.0") in (ROOT / "pyproject.toml").read_text()


def test_a_step_that_the_builder_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SHELL"):
        _StageBuilder(Builder(ROOT, tmp_path, {}), tmp_path).run(Step("SHELL", "[]"))


def test_copies_are_made_as_docker_makes_them(tmp_path: Path) -> None:
    context = tmp_path / "context"
    for name in ("core/a/x.py", "core/__pycache__/x.pyc", "one", "two"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("**/__pycache__\n")
    built = _StageBuilder(Builder(context, tmp_path, {}), tmp_path / "root")
    for copied in ("one two ./", "core core", "one /etc/1"):
        built.run(Step("WORKDIR", "/src"))
        built.run(Step("COPY", copied))
    found = [str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert sorted(found) == ["etc/1", "src/core/a/x.py", "src/one", "src/two"]


def health(port: int, **variables: str) -> tuple[int, str]:
    """The exit code of the image's check of health, and what it says."""
    ran = subprocess.run(
        [sys.executable, "-IS", HEALTHCHECK],
        env={**os.environ, "MLBUFFET_PORT": str(port), "http_proxy": "http://127.0.0.1:9", **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stderr.strip()


def test_a_container_without_arguments_serves_what_is_mounted(tmp_path: Path, iris: Path) -> None:
    with served({}, tmp_path, {"/models": iris}) as server, server.client() as client:
        flower = {"inputs": {"measurements": [[5.1, 3.5, 1.4, 0.2]]}}
        assert client.post("/v1/models/iris:predict", json=flower).status_code == 200
        assert health(server.ports["--port"]) == (0, "")
        port = server.ports["--port"]
    code, said = health(port)
    assert code == 1
    assert "/v2/health/ready" in said


class Loading(BaseHTTPRequestHandler):
    """A server whose models are loaded after its first answer."""

    statuses: ClassVar = [503, 200]

    def do_GET(self) -> None:  # http.server names it
        self.send_response(self.statuses.pop(0) if self.path == "/v2/health/ready" else 404)
        self.end_headers()


def test_a_server_is_healthy_once_it_is_ready_also_over_tls(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("models.example").configure_cert(context)
    with HTTPServer(("127.0.0.1", 0), Loading) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        asked = [health(server.server_port, MLBUFFET_SSL_CERTFILE="server.pem") for _ in range(2)]
        server.shutdown()
        thread.join()
    assert asked == [(1, "/v2/health/ready answers 503"), (0, "")]
