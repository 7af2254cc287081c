"""How little a server's models hold up its answers: a TensorFlow model that is loaded, and 1 000 models in a folder."""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import psutil

from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, State, find_models

ROOT = Path(__file__).parents[1]
MODELS = 1000


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        scripts = {"digits": "train_digits_module.py", "iris": "train_iris_onnx.py"}
        for name, script in scripts.items():
            target = Path(folder, "trained", name, "1")
            subprocess.run([sys.executable, ROOT / "examples" / script, target], check=True, capture_output=True)
        show_many_models(Path(folder))
        show_lag(Path(folder, "trained/digits"))


def show_many_models(folder: Path) -> None:
    """Start, index and memory of a server with many models that are loaded when they are used."""
    for number in range(MODELS):
        shutil.copytree(folder / "trained/iris", folder / f"many/m{number}")
    begin = time.perf_counter()
    with served(folder / "many", "--lazy") as (client, process):
        print(f"{MODELS} models, --lazy: answers after {time.perf_counter() - begin:.2f} s")
        moments = []
        for _ in range(10):
            begin = time.perf_counter()
            assert len(client.post("/v2/repository/index").json()) == MODELS
            moments.append(time.perf_counter() - begin)
        print(
            f"  index {statistics.median(moments) * 1000:.0f} ms, {process.memory_info().rss / 2**20:.0f} MiB in memory"
        )
        client.get("/metrics").raise_for_status()  # the first one imports what it takes
        begin = time.perf_counter()
        client.get("/metrics").raise_for_status()
        print(f"  metrics {(time.perf_counter() - begin) * 1000:.0f} ms")
        begin = time.perf_counter()
        client.get("/v2/models/m7").raise_for_status()
        print(f"  first use of a model {time.perf_counter() - begin:.2f} s")


def show_lag(model: Path) -> None:
    """How late an event loop is while a thread imports TensorFlow and loads a model."""
    runtimes = Runtimes()
    runtimes.discover()
    repository = ModelRepository(runtimes)
    repository.update(find_models(model, runtimes))
    lags: list[float] = []

    async def measure() -> None:
        loading = Thread(target=repository.load_all)
        loading.start()
        while loading.is_alive():
            begin = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - begin - 0.001)

    asyncio.run(measure())
    (version,) = repository
    assert version.state is State.READY, version.error
    lags.sort()
    print(f"TensorFlow imported and a model loaded in {version.seconds:.1f} s: the event loop was late by at most")
    print(f"  {lags[-1] * 1000:.0f} ms, the next {', '.join(f'{lag * 1000:.0f}' for lag in lags[-5:-1][::-1])} ms")


@contextmanager
def served(path: Path, *options: str) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """A server of ``path``, once it answers."""
    command = [sys.executable, "-m", "mlbuffet", "serve", str(path), "--port", "0", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    shown = ""
    while not shown.endswith("\n}\n"):
        shown += process.stdout.readline()
    with httpx.Client(base_url=json.loads(shown)["address"], timeout=30) as client:
        client.get("/v2/health/live").raise_for_status()
        yield client, psutil.Process(process.pid)
    process.terminate()
    process.wait()


if __name__ == "__main__":
    main()
