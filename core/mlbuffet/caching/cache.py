"""From a question to its answer, of which equal ones under way at once are one."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import TypeVar

from mlbuffet.caching.key import Question
from mlbuffet.caching.memory import MemoryCache
from mlbuffet.caching.redis import RedisCache
from mlbuffet.caching.single_flight import SingleFlight
from mlbuffet.scheduling import Prediction

T = TypeVar("T")


class PredictionCache:
    """Looks in the memory of this process, then in Redis if there is one, before a model computes.

    For one event loop.
    """

    def __init__(self, memory: MemoryCache, redis: RedisCache | None = None) -> None:
        self.memory = memory
        self.redis = redis
        self.hits = Counter[str]()
        """By model, how many calls it was spared."""
        self.misses = Counter[str]()
        """By model, how many calls it computed."""
        self._flights = SingleFlight[Prediction]()

    def start(self) -> None:
        """Begin, on the event loop that runs."""
        if self.redis is not None:
            self.redis.start()

    async def close(self) -> None:
        """End what runs in the background."""
        if self.redis is not None:
            await self.redis.close()

    def kept(self, question: Question) -> Prediction | None:
        """The answer in the memory of this process, without waiting."""
        begin = perf_counter_ns()
        outputs = self.memory.get(question.key)
        if outputs is None:
            return None
        self.hits[question.model] += 1
        return Prediction(outputs, lookup=perf_counter_ns() - begin)

    async def answer(
        self,
        question: Question,
        lease: Callable[[], AbstractContextManager[T]],
        compute: Callable[[T], Awaitable[Prediction]],
    ) -> Prediction:
        """The answer that is kept elsewhere, or that of ``compute``, which is kept then; raises what that raises.

        Computing may outlive the caller, for others who ask the same: ``lease`` gives what it needs for so long.
        """
        begin = perf_counter_ns()

        async def find_or_compute() -> Prediction:
            with lease() as leased:
                return await self._found(question, begin) or await self._computed(question, begin, compute(leased))

        shared = question.key in self._flights
        answer = await self._flights.run(question.key, find_or_compute)
        if shared:
            answer = Prediction(answer.outputs, lookup=perf_counter_ns() - begin)
        (self.misses if answer.execution else self.hits)[question.model] += 1
        return answer

    async def _found(self, question: Question, begin: int) -> Prediction | None:
        """The answer in memory, where it may have come to since the caller asked, or in Redis."""
        if (kept := self.memory.get(question.key)) is not None:
            return Prediction(kept, lookup=perf_counter_ns() - begin)
        found = await self.redis.get(question) if self.redis is not None else None
        if found is None:
            return None
        outputs, until = found
        self.memory.put(question.key, outputs, until)
        return Prediction(outputs, lookup=perf_counter_ns() - begin)

    async def _computed(self, question: Question, begin: int, computing: Awaitable[Prediction]) -> Prediction:
        lookup = perf_counter_ns() - begin
        answer = await computing
        until = time.time() + question.seconds
        self.memory.put(question.key, answer.outputs, until)
        if self.redis is not None:
            self.redis.put(question, answer.outputs, until)
        return answer._replace(lookup=lookup)
