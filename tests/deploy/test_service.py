"""deploy/mlbuffet.service: systemd reads it, and what it starts serves."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from containers import served

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/mlbuffet.service"
SETTINGS = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
CONFIGURATION = ROOT / "deploy/server.toml"
ANALYZE = shutil.which("systemd-analyze")


def test_the_command_serves_by_its_file(tmp_path: Path, iris: Path) -> None:
    program, *words = SETTINGS["ExecStart"].split()
    assert program == "/opt/mlbuffet/bin/mlbuffet"
    text = CONFIGURATION.read_text().replace("/var/lib/mlbuffet/models", str(iris))
    (tmp_path / "server.toml").write_text(re.sub(r"(?m)^port = .*$", "", text))
    container = {"command": ["mlbuffet"], "args": words}
    with served(container, tmp_path, {"/etc/mlbuffet": tmp_path}) as server, server.client() as client:
        assert client.get("/v2/models/iris/ready").status_code == 200
        assert '"logger"' in server.log.read_text()


def test_it_may_end_before_it_is_killed() -> None:
    (grace,) = re.findall(r"^grace = (\d+)", CONFIGURATION.read_text(), re.MULTILINE)
    assert int(SETTINGS["TimeoutStopSec"]) > int(grace)
    assert SETTINGS["KillMode"] == "mixed"


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd")
def test_systemd_reads_it(tmp_path: Path) -> None:
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace("/opt/mlbuffet/bin/mlbuffet", "/bin/true"))
    ran = subprocess.run([str(ANALYZE), "verify", installed], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd")
def test_systemd_finds_little_exposed() -> None:
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=15", str(UNIT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in ran.stderr:
        pytest.skip("this systemd judges no files")
    assert ran.returncode == 0, ran.stdout[-200:]
