"""An answer is computed once, also for those who ask while it is computed."""

import asyncio
from contextlib import nullcontext

import numpy as np

from mlbuffet import TensorSpec
from mlbuffet.caching import MemoryCache, PredictionCache, Question
from mlbuffet.scheduling import Execution, Prediction


def test_who_asks_while_or_after_an_answer_is_computed_does_not_compute_it_again() -> None:
    array = np.ones(2, np.float32)
    cache, calls = PredictionCache(MemoryCache()), 0
    question = Question("m", b"", "s", {"y": TensorSpec("y", np.float32, (2,))}, {"x": array}, 60.0)

    async def compute(_: None) -> Prediction:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return Prediction({"y": array}, Execution(1, 0, 0, 0, 0))

    async def ask() -> None:
        answer = await cache.answer(question, lambda: nullcontext(None), compute)
        assert answer.outputs["y"].tolist() == [1, 1]

    async def ask_thrice() -> None:
        await asyncio.gather(ask(), ask())
        await ask()

    asyncio.run(ask_thrice())
    assert calls == 1
    assert (cache.misses["m"], cache.hits["m"]) == (1, 2)
