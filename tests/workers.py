"""``mlbuffet serve --workers 2`` with the model ``a``, which says which process answers; and who answers."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psutil

from processes import address_of, serve

CLIENTS = 32


@contextmanager
def two_workers(environment: dict[str, str], *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = serve(environment, "--workers", 2, *arguments)
    try:
        yield process, address_of(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def ask(client: httpx.Client, seconds: float = 0.0) -> int:
    """Which process answers."""
    answer = client.post("/v1/models/a:predict", json={"inputs": seconds})
    return int(answer.raise_for_status().json()["outputs"])


def connecting(address: str) -> httpx.Client:
    """A client that makes a connection for each request."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=address, timeout=20, limits=limits)


def processes_behind(address: str) -> set[int]:
    """Which processes answer many connections at once; every connection must be answered."""
    with connecting(address) as client, ThreadPoolExecutor(CLIENTS) as pool:
        return set(pool.map(lambda _: ask(client, 0.02), range(CLIENTS)))


def both_behind(address: str) -> tuple[int, int]:
    deadline = time.monotonic() + 30
    while len(found := processes_behind(address)) != 2:
        assert time.monotonic() < deadline
    one, two = found
    return one, two


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # it has just ended
        return ""
