"""Thousands of malformed requests leave a server of its own process as it was: `make soak` sends 10 000 of them."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from faults import FAULTS, LENGTH, MODELS, V1, V2, X, exchange, post
from small_runtimes import write_models

REQUESTS = int(os.environ.get("MLBUFFET_SOAK", "300"))
REFUSALS = {400, 404, 405, 413, 415, 431, 503, 505}
GROWTH = 32 * 2**20


INDEX = post("/v2/repository/index", b"")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[psutil.Process, str, int]]:
    """A process that serves ``half``, ``echo`` and ``bad``, and where."""
    temporary, models = tmp_path / "temporary", write_models(tmp_path / "models", MODELS)
    temporary.mkdir()
    command = [sys.executable, "fault_server.py", str(models)]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=tests, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = urlsplit(process.stdout.readline().strip())
        yield psutil.Process(process.pid), address.hostname or "", address.port or 0
        assert not list(temporary.iterdir())
        assert {path.name: path.read_text() for path in models.iterdir()} == MODELS
        process.terminate()


def malformed(count: int) -> Iterator[tuple[str, bytes]]:
    """Each fault in turn, and between them good requests in which bytes were changed, dropped or repeated."""
    chance = random.Random(4)
    good = [
        json.dumps({"id": "7", "inputs": [X], "outputs": [{"name": "y"}]}).encode(),
        json.dumps({"signature_name": "both", "instances": [{"x": 1.5}, {"x": 2}]}).encode(),
        json.dumps({"inputs": [{**X, "data": None, "parameters": {"binary_data_size": 12}}]}).encode() + bytes(12),
    ]
    while count:
        for name, (data, _) in FAULTS.items():
            yield name, data
            kind = chance.randrange(3)
            body = bytearray(good[kind])
            for _ in range(chance.randint(1, 4)):
                begin = chance.randrange(len(body))
                piece = chance.choice([b"", bytes([chance.randrange(256)]), body[begin : begin + 9] * 2, b"[", b"null"])
                body[begin : begin + chance.randint(0, 3)] = piece
            headers = {LENGTH: len(good[2]) - 12} if kind == 2 else {}
            yield "a good request that was damaged", post(V1 if kind == 1 else V2, bytes(body), headers)
            count -= 2
            if count <= 0:
                return


def test_malformed_requests_leave_a_server_as_it_was(server: tuple[psutil.Process, str, int]) -> None:
    process, host, port = server
    control = post(V2, json.dumps({"inputs": [X]}).encode())
    for _, data in malformed(300):  # what a server comes to hold once: pools, threads, buffers
        exchange(host, port, data)
    before, files, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    index = exchange(host, port, INDEX)[2]
    statuses: Counter[int] = Counter()
    slowest = 0.0
    started = time.perf_counter()
    for name, data in malformed(REQUESTS):
        status, _, body = exchange(host, port, data)
        statuses[status] += 1
        assert status in REFUSALS or (status == 200 and name == "a good request that was damaged"), (name, body)
        begin = time.perf_counter()
        status, _, body = exchange(host, port, control)
        slowest = max(slowest, time.perf_counter() - begin)
        assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [2.5, 3.0, 4.5])
    seconds = time.perf_counter() - started
    growth = process.memory_info().rss - before
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    print(  # the figures that `make soak` is for
        f"{statuses.total()} malformed requests in {seconds:.0f} s ({shown}); memory {growth / 2**20:+.1f} MiB; "
        f"the next good request within {slowest * 1000:.1f} ms"
    )
    assert exchange(host, port, INDEX)[2] == index
    assert growth < GROWTH
    assert process.num_fds() <= files + 2
    assert process.num_threads() <= threads + 40  # of the pool, which is bounded
    assert slowest < (0.05 if REQUESTS >= 10_000 else 1)


def test_names_of_no_model_leave_nothing_behind(server: tuple[psutil.Process, str, int]) -> None:
    process, host, port = server
    statistics = post("/v2/models/stats", b"", method="GET")
    known, before = exchange(host, port, statistics)[2], process.memory_info().rss
    chance = random.Random(5)
    for number in range(REQUESTS):
        name = f"{chance.randrange(2**64):x}" * chance.randint(1, 8)
        address, method = [
            (f"/v2/models/{name}/infer", "POST"),
            (f"/v2/models/{name}/stats", "GET"),
            (f"/v1/models/{name}:predict", "POST"),
            (f"/{name}", "GET"),
        ][number % 4]
        assert exchange(host, port, post(address, b"{}", method=method))[0] == 404
    growth = process.memory_info().rss - before
    print(f"{REQUESTS} names of no model; memory {growth / 2**20:+.1f} MiB")
    assert exchange(host, port, statistics)[2] == known
    assert growth < GROWTH
