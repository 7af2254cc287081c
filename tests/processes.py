"""``mlbuffet serve`` as a process of its own, in which small runtimes are installed."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def environment_with(folder: Path, entries: Sequence[str]) -> dict[str, str]:
    """The environment of a process in which a package with these entry points is installed, in ``folder``."""
    info = folder / "half-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[mlbuffet]", *entries]))
    places = [str(folder), str(Path(__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "COLUMNS": "300"}


def environment_with_runtimes(folder: Path) -> dict[str, str]:
    """The environment of a process in which the small runtimes are installed, and one that is broken."""
    names = {"half": "HalfPlusTwo", "sleep": "Sleep", "process": "ProcessId"}
    entries = [*(f"{name} = small_runtimes:{kind}" for name, kind in names.items()), "lost = no_such_module"]
    return environment_with(folder / "site", entries)


def serve(
    environment: dict[str, str], *arguments: object, stderr: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlbuffet", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)


def read_until(process: subprocess.Popen[str], last: str) -> str:
    assert process.stdout
    text = ""
    while last not in text:
        line = process.stdout.readline()
        assert line, f"the server ended: {text} {process.communicate()}"
        text += line
    return text


def address_in(shown: str) -> str:
    """Where a server says that it serves."""
    return str(re.findall(r"http://127\.0\.0\.1:\d+", shown)[0])


def address_of(process: subprocess.Popen[str]) -> str:
    """Where it serves, once it does."""
    return address_in(read_until(process, "serving on"))
