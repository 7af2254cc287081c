"""Programs of users as they run them: files of their own, in processes of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from waiting import wait_for

TESTS = str(Path(__file__).parent)


def output_of(program: str, *options: str, folder: Path | None = None) -> tuple[str, str]:
    """What ``program`` writes to stdout and to stderr, run in ``folder`` with warnings as errors."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": TESTS},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


@contextmanager
def served_by_uvicorn(program: str, folder: Path, *options: str, ready: str) -> Iterator[httpx.Client]:
    """A client of ``program``, the text of a module with an ``app``, once it answers 200 at the path ``ready``."""
    (folder / "program.py").write_text(program)
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *options, "program:app", "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), TESTS])},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr
    log = ""
    while not (running := re.search(r"running on (http://\S+)", log)):
        line = server.stderr.readline()
        assert line, log
        log += line
    try:
        with httpx.Client(base_url=running[1], timeout=10) as client:
            wait_for(lambda: client.get(ready).status_code == 200, 60)
            yield client
    finally:
        server.terminate()
        log += server.communicate(timeout=20)[1]
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
