"""Reloads by the thousand, between versions that add 1 and 2, every tenth corrupt, under constant load."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import psutil
from starlette.applications import Starlette

from mlbuffet.server.processes.server_process import Server, address_of, listen
from reloading import reloading, write_whole


@contextmanager
def run_app(app: Starlette) -> Iterator[httpx.Client]:
    """The application on a free port, with a client."""
    listener = listen("127.0.0.1", 0)
    server = Server(app)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=address_of(listener), timeout=30) as client:
            yield client
    finally:
        server.stop()
        thread.join()


def main(reloads: int) -> int:
    """Reload so often; the exit code says whether a request failed."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "models")
        write_whole(root / "m/1/x.add", "1")
        (root / "m/model.toml").write_text('versions = "latest"')
        with reloading(root, run_app) as served, served.under_load(lambda version: 11 if version % 2 else 12):
            begin = time.perf_counter()
            for number in range(2, reloads + 2):
                corrupt = number % 10 == 0
                served.publish(f"m/{number}/x.add", "corrupt" if corrupt else "1" if number % 2 else "2")
                state = "UNAVAILABLE" if corrupt else "READY"
                served.wait_for(lambda n=str(number), s=state: served.states("m").get(n) == s)  # type: ignore[misc]
                served.remove(f"m/{number - 1}")
                if number == 100:
                    early = (process.memory_info().rss, process.num_fds(), process.num_threads())
            seconds = time.perf_counter() - begin
        late = (process.memory_info().rss, process.num_fds(), process.num_threads())
        answered = sum(served.answers.values())
        print(f"{reloads} reloads, {reloads // 10} of them corrupt, in {seconds:.0f} s")
        print(f"{answered} right answers of {len(served.answers)} versions, {len(served.failed)} failed")
        print(
            f"memory grew by {(late[0] - early[0]) / 2**20:.1f} MiB after the first 100; file descriptors, threads:",
            end=" ",
        )
        print(f"{early[1:]} under load, {late[1:]} after")
        for failure in served.failed[:10]:
            print(failure)
    return bool(served.failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
