"""What batches gain: calls a second of a CNN by 16 callers at once, one by one in threads and batched, in turn."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from tensorflow_cnn import save_cnn

import mlbuffet
from mlbuffet.scheduling import Batching, Call, Limits, Scheduler, Scheduling

CALLERS, ROUNDS, SECONDS = 16, 7, 1.0


async def calls_a_second(scheduler: Scheduler, call: Call) -> float:
    """Each caller asks again as soon as it is answered."""
    end = time.perf_counter() + SECONDS

    async def ask() -> int:
        count = 0
        while time.perf_counter() < end:
            await scheduler.submit(call, Lease)
            count += 1
        return count

    return sum(await asyncio.gather(*(ask() for _ in range(CALLERS)))) / SECONDS


class Lease:
    """Nobody unloads the model meanwhile."""

    def release(self) -> None:
        """Nothing to do."""


def compare(path: Path, shape: tuple[int, ...]) -> None:
    """Print both, and their ratio, as medians of alternating rounds."""
    shared = Scheduling()
    with mlbuffet.load(path) as model:
        name = next(iter(model.signatures[model.signatures.resolve(None)].inputs))
        call = Call({name: np.random.default_rng(1).random((1, *shape), np.float32)})
        single, batched = (shared.scheduler(model, Limits(), batching) for batching in (None, Batching()))
        rounds = [
            tuple(asyncio.run(calls_a_second(scheduler, call)) for scheduler in (single, batched))
            for _ in range(ROUNDS + 1)
        ][1:]
    shared.close()
    ratio = median(two / one for one, two in rounds)
    print(f"{path.name}: one by one {median(one for one, _ in rounds):.0f}/s, batched {ratio:.2f} times as many")


def main() -> None:
    """Measure the CNN of the demo, images of 8 x 8, and one of 32 x 32 x 3."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    train = Path(__file__).parents[1] / "examples" / "train_digits_keras.py"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, train, Path(folder) / "digits"], check=True, capture_output=True)
        compare(Path(folder) / "digits", (8, 8, 1))
        save_cnn(Path(folder) / "cnn")
        compare(Path(folder) / "cnn", (32, 32, 3))


if __name__ == "__main__":
    main()
