"""Crashes by the thousand of one of three models in processes of their own, while the two others are asked."""

import gc
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread

import httpx
import psutil

from misbehaving import Misbehaving
from mlbuffet.isolation.process_settings import Isolation
from mlbuffet.repository import ModelRepository, Sources
from mlbuffet.server import create_app
from mlbuffet.server.processes.server_process import Server, address_of, listen
from small_runtimes import small_runtimes, write_models

WAYS = ("segfault", "abort", "exit", "grow 4000")
MODELS = {
    "half.half": "half",
    "other.half": "half",
    "bad/1/a.bad": "",
    "bad/model.toml": '[process]\ninstances = 2\nmemory = "1GiB"\n',
}


@dataclass
class Others:
    """What became of the requests to the models that do not crash."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of a server of the models, which starts processes anew without waiting."""
    runtimes = small_runtimes()
    runtimes.register(Misbehaving, name="bad")
    repository = ModelRepository(runtimes, isolation=Isolation(of_all=True, longest_delay=0))
    repository.update(Sources([root], runtimes).find())
    loaded = Event()
    listener = listen("127.0.0.1", 0)
    server = Server(create_app(repository, on_loaded=loaded.set))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert loaded.wait(120)
        yield address_of(listener)
    finally:
        server.stop()
        thread.join()


@contextmanager
def asked(address: str, others: Others) -> Iterator[None]:
    """Ask the other models all the while, in a thread each."""
    done = Event()

    def ask(model: str) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            for number in cycle(range(600)):
                if done.is_set():
                    return
                begun = time.perf_counter()
                answer = client.post(f"/v1/models/{model}:predict", json={"inputs": {"x": [number]}})
                others.seconds.append(time.perf_counter() - begun)
                if answer.status_code == 200 and answer.json() == {"outputs": [number / 2 + 2]}:
                    others.answered += 1
                else:
                    others.failed.append(f"{answer.status_code} {answer.text}")
                time.sleep(0.002)

    threads = [Thread(target=ask, args=[model]) for model in ("half", "other")]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def p99(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1000 * quantiles(seconds, n=100)[98]


def crash(address: str, crashes: int) -> Counter[int]:
    """Have the model crash so often; the statuses of its answers."""
    statuses, begun = Counter[int](), time.monotonic()
    with httpx.Client(base_url=address, timeout=120) as client:
        for number in range(crashes):
            what = WAYS[number % len(WAYS)]
            body = {"inputs": {"what": [what, f"echo {number} {begun}"]}}
            statuses[client.post("/v1/models/bad:predict", json=body).status_code] += 1
        body = {"inputs": {"what": ["echo well"]}}
        assert client.post("/v1/models/bad:predict", json=body).json() == {"outputs": ["well"]}
    return statuses


def main(crashes: int) -> int:
    """Crash so often; the exit code says whether anybody else was harmed, or anything was left behind."""
    logging.disable()  # of each crash there are twenty lines
    me = psutil.Process()
    shared = set(os.listdir("/dev/shm"))  # noqa: PTH208 only names
    with tempfile.TemporaryDirectory() as folder:
        root = write_models(Path(folder), MODELS)
        with served(root) as address:
            before, meanwhile = Others(), Others()
            crash(address, 4)  # what is opened once is open then
            with asked(address, before):
                time.sleep(10)
            gc.collect()
            files = me.num_fds()
            begun = time.perf_counter()
            with asked(address, meanwhile):
                statuses = crash(address, crashes)
            seconds = time.perf_counter() - begun
            gc.collect()
            left = me.num_fds() - files
            zombies = [one.pid for one in me.children(recursive=True) if one.status() == psutil.STATUS_ZOMBIE]
        children = me.children(recursive=True)
    new = {one for one in os.listdir("/dev/shm") if one not in shared and "mlbuffet" in one}  # noqa: PTH208
    print(f"{crashes} crashes in {seconds:.0f} s, answered with {dict(statuses)}")
    print(f"others: {meanwhile.answered} right answers, {len(meanwhile.failed)} failed or wrong")
    ratio = p99(meanwhile.seconds) / p99(before.seconds)
    print(f"their 99th percentile: {p99(meanwhile.seconds):.1f} ms, {ratio:.2f} times that without crashes")
    print(f"left behind: {left} open files, {len(zombies)} zombies, {len(children)} processes, {len(new)} in /dev/shm")
    for failure in (*before.failed, *meanwhile.failed)[:10]:
        print(failure)
    return bool(before.failed or meanwhile.failed or left > 3 or zombies or children or new)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
