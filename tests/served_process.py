"""``mlbuffet serve`` as a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path


def environment_with_runtimes(folder: Path) -> dict[str, str]:
    """The environment of a process in which the runtimes ``half`` and ``sleep`` are installed, below ``folder``."""
    info = folder / "site" / "half-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    entries = ["half = small_runtimes:HalfPlusTwo", "sleep = small_runtimes:Sleep", "lost = no_such_module"]
    (info / "entry_points.txt").write_text("\n".join(["[mlbuffet]", *entries]))
    places = [str(info.parent), str(Path(__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "COLUMNS": "300"}


def serve(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    """A server on a free port; whoever starts it ends it."""
    command = [sys.executable, "-m", "mlbuffet", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], last: str) -> str:
    """What it prints, up to a line with ``last``."""
    assert process.stdout
    text = ""
    while last not in text:
        line = process.stdout.readline()
        assert line, f"the server ended: {text} {process.communicate()}"
        text += line
    return text


def address_of(process: subprocess.Popen[str]) -> str:
    """Where it serves, once it does."""
    return str(re.findall(r"http://127\.0\.0\.1:\d+", read_until(process, "serving on"))[0])
