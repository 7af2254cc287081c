"""deploy/compose.yaml: what it starts serves, and what it names is there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from containers import served
from redis_server import PROGRAM, redis_server
from waiting import wait_for

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]


def compose() -> list[str]:
    """A program that reads such files, if one is installed: it takes no daemon for that."""
    plugin = ["docker", "compose"]
    if shutil.which("docker"):
        asked = subprocess.run([*plugin, "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else []


@pytest.mark.skipif(not compose(), reason="there is no docker compose")
def test_compose_reads_it() -> None:
    subprocess.run([*compose(), "--file", str(COMPOSE), "config", "--quiet"], check=True)


def test_every_file_that_it_mounts_is_there() -> None:
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])]
    files = [name for name in mounted if name.startswith("./")]
    assert len(files) == 5
    assert all((COMPOSE.parent / name).is_file() for name in files)
    build = SERVICES["mlbuffet"]["build"]
    assert (COMPOSE.parent / build["context"] / build["dockerfile"]).is_file()


def test_everything_is_reached_from_this_machine_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for one in SERVICES.values() for port in one.get("ports", []))


def test_a_server_may_end_before_it_is_killed() -> None:
    server = SERVICES["mlbuffet"]
    grace = server["command"][server["command"].index("--grace") + 1]
    assert int(server["stop_grace_period"].removesuffix("s")) > int(grace)


@pytest.mark.skipif(PROGRAM is None, reason="there is no redis-server")
def test_the_server_serves_with_the_redis(tmp_path: Path, iris: Path) -> None:
    server = SERVICES["mlbuffet"]
    with redis_server() as redis:
        url = server["environment"]["MLBUFFET_CACHE_REDIS"]
        assert re.fullmatch(r"redis://redis:6379/0", url)
        container = {"args": server["command"], "env": [{"name": "MLBUFFET_CACHE_REDIS", "value": redis.url}]}
        with served(container, tmp_path, {"/models": iris}) as running, running.client() as client:
            assert client.get("/v2/models/iris/ready").status_code == 200
            wait_for(lambda: "mlbuffet_cache_redis_up 1.0" in client.get("/metrics").text, 60)


@pytest.mark.skipif(PROGRAM is None, reason="there is no redis-server")
def test_redis_takes_its_options(tmp_path: Path) -> None:
    command = [str(PROGRAM), *SERVICES["redis"]["command"][1:], "--port", "0", "--unixsocket", str(tmp_path / "socket")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "accept connections" in line:
                break
        process.terminate()
        assert process.wait(30) == 0
