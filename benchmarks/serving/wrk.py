"""Load from wrk: so many connections, each of which asks again as soon as it has its answer."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from shutil import which

from figures import Round
from serving.bodies import Body

SCRIPT = Path(__file__).with_name("wrk.lua")


def load(url: str, body: Body, *, connections: int, seconds: int, paths: list[str] | None = None) -> Round:
    """What a server answers in ``seconds``: good answers a second, latencies of all answers, and how many were bad."""
    wrk = which("wrk")
    if wrk is None:
        raise SystemExit("wrk makes the load and is not there: apt-get install wrk")
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.content)
        file.flush()
        headers = "\n".join(f"{name}: {value}" for name, value in body.headers.items())
        given = {"BENCH_BODY": file.name, "BENCH_HEADERS": headers, "BENCH_PATHS": " ".join(paths or [body.path])}
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "30", "-s", str(SCRIPT), url]
        done = subprocess.run(command, env={**os.environ, **given}, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "requests/s": (found["requests"] - found["refused"]) / found["microseconds"] * 1e6,
        "p50 ms": found["p50"] / 1000,
        "p99 ms": found["p99"] / 1000,
        "bad answers": found["refused"] + found["broken"],
    }
