"""Load of gRPC from h2load: so many streams, each of which asks again as soon as it has its answer."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import numpy as np

from figures import Round
from serving.bodies import Body

_COUNTS = re.compile(r"requests: .*, (\d+) started, (\d+) done, (\d+) succeeded")
_DATA = re.compile(r"traffic: .*\((\d+)\) data")


@dataclass(frozen=True, kw_only=True)
class Streams:
    """How many calls are made at once: so many connections, with so many streams on each."""

    connections: int = 1
    on_each: int = 1


def load(url: str, body: Body, streams: Streams, *, seconds: int, answer_size: int) -> Round:
    """What a server answers in ``seconds``; a good answer has ``answer_size`` bytes, with the head of its message."""
    h2load = which("h2load")
    if h2load is None:
        raise SystemExit("h2load makes the load of gRPC and is not there: apt-get install nghttp2-client")
    headers = [f"--header={name}: {value}" for name, value in body.headers.items()]
    with tempfile.TemporaryDirectory() as folder:
        content, log = Path(folder) / "content", Path(folder) / "log"
        content.write_bytes(body.content)
        command = [h2load, "--threads=1", f"--clients={streams.connections}"]
        command += [f"--max-concurrent-streams={streams.on_each}", f"--duration={seconds}"]
        command += [f"--data={content}", f"--log-file={log}", *headers, url + body.path]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return round_of(done.stdout, log.read_text(), answer_size)


def round_of(report: str, log: str, answer_size: int) -> Round:
    """Good answers, also a second, latencies of all answers, and how many were bad, from what h2load wrote.

    It counts a call that failed as a success, because gRPC says how a call ended behind the status 200 of HTTP. But
    the answer of such a call has no data, so the data tells how many answers there were. A call that was under way at
    the end may have sent some of it; as many answers are not counted.
    """
    started, ended, succeeded = map(int, _found(_COUNTS, report))
    [data] = map(int, _found(_DATA, report))
    answers = data // answer_size
    good = max(0, min(succeeded, answers - (started - ended)))
    if not ended:
        return {"answers": 0, "requests/s": 0, "p50 ms": 0, "p99 ms": 0, "bad answers": started}
    begins, _, took = np.array([line.split("\t") for line in log.splitlines()], dtype=float).T
    microseconds = float(np.max(begins + took) - np.min(begins))
    return {
        "answers": good,
        "requests/s": good / microseconds * 1e6,
        "p50 ms": float(np.percentile(took, 50)) / 1000,
        "p99 ms": float(np.percentile(took, 99)) / 1000,
        "bad answers": ended - succeeded + max(0, succeeded - answers),
    }


def _found(pattern: re.Pattern[str], report: str) -> tuple[str, ...]:
    found = pattern.search(report)
    if found is None:
        raise ValueError(f"h2load reports nothing like {pattern.pattern!r}: {report[-500:]}")
    return found.groups()
