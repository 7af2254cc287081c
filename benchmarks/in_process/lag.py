"""How late an event loop is at most while TensorFlow is imported and a model loaded, in a process of its own."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from artifacts import artifact
from case import Case, Field, Plan
from figures import Key, Round
from mlbuffet import Runtimes
from mlbuffet.repository import ModelRepository, State, find_models


@contextmanager
def _prepare(plan: Plan) -> Iterator[Field]:
    plan.tell("the model is made")
    artifact("mlp")

    def measure() -> Round:
        done = subprocess.run(
            [sys.executable, "-m", "in_process.lag"], check=True, capture_output=True, cwd=sys.path[0]
        )
        found: Round = json.loads(done.stdout)
        return found

    yield Field({Key("the latest tick"): measure})


def show_lag() -> None:
    """Print how late the loop was, as JSON."""
    runtimes = Runtimes()
    runtimes.discover()
    repository = ModelRepository(runtimes)
    repository.update(find_models(artifact("mlp").folder, runtimes))
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
    print(json.dumps({"ms": max(lags) * 1000, "load s": version.seconds}))


CASE = Case(name="lag", title="An event loop while TensorFlow is imported", unit="ms", prepare=_prepare, rounds=3)

if __name__ == "__main__":
    show_lag()
