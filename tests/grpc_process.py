"""``mlbuffet serve`` with gRPC as a process of its own, whose log and resources are looked at."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil

from faults import LIMIT
from processes import environment_with, read_until

RUNTIMES = {"half": "HalfPlusTwo", "echo": "Echo", "sleep": "Sleep", "scored": "OfExamples"}


class GrpcProcess(NamedTuple):
    """A server, and a channel to it."""

    process: psutil.Process
    address: tuple[str, int]
    channel: grpc.Channel


@contextmanager
def grpc_process(folder: Path, models: Path, *options: object) -> Iterator[GrpcProcess]:
    """Serve ``models``; at its end the process is still the same, and its log has no traceback."""
    environment = environment_with(
        folder / "site", [f"{name} = small_runtimes:{kind}" for name, kind in RUNTIMES.items()]
    )
    command = [sys.executable, "-m", "mlbuffet", "serve", models, "--port", 0, "--grpc-port", 0, "--max-body", LIMIT]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [str(one) for one in [*command, *options]], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            ((host, port),) = re.findall(r"serving gRPC on (\S+):(\d+)", read_until(process, "serving on"))
            with grpc.insecure_channel(f"{host}:{port}") as channel:
                yield GrpcProcess(psutil.Process(process.pid), (host, int(port)), channel)
            assert process.poll() is None
        finally:
            process.terminate()
    assert not re.search("Traceback|internal error|ERROR", (folder / "log").read_text())
