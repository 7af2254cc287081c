"""An answer is computed once, also for those who ask in the moment in which it is kept."""

import asyncio
from contextlib import nullcontext

import numpy as np

from mlbuffet import TensorSpec
from mlbuffet.caching import MemoryCache, PredictionCache, Question
from mlbuffet.scheduling import Execution, Prediction


def test_who_asked_just_before_an_answer_was_kept_does_not_compute_it_again() -> None:
    array = np.ones(2, np.float32)
    cache, calls = PredictionCache(MemoryCache()), 0
    question = Question("m", b"", "s", {"y": TensorSpec("y", np.float32, (2,))}, {"x": array}, 60.0)

    async def compute(_: None) -> Prediction:
        nonlocal calls
        calls += 1
        return Prediction({"y": array}, Execution(1, 0, 0, 0, 0))

    async def ask() -> None:
        assert cache.kept(question) is None  # the second to ask sees this too, and goes on when the first has ended
        for _ in range(2):
            answer = await cache.answer(question, lambda: nullcontext(None), compute)
            assert answer.outputs["y"].tolist() == [1, 1]

    asyncio.run(ask())
    assert calls == 1
    assert (cache.misses["m"], cache.hits["m"]) == (1, 1)
