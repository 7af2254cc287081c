"""A cache of predictions, in which equal questions at once are computed once."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import TypeVar

from msgspec.structs import replace

from mlbuffet.caching.key import Question
from mlbuffet.caching.memory import MemoryCache
from mlbuffet.caching.redis import RedisCache
from mlbuffet.caching.single_flight import SingleFlight
from mlbuffet.scheduling import Prediction

T = TypeVar("T")


class PredictionCache:
    """Outputs in the memory of this process, and in Redis if there is one; for one event loop."""

    def __init__(self, memory: MemoryCache, redis: RedisCache | None = None) -> None:
        self.memory = memory
        self.redis = redis
        self.hits = Counter[str]()
        """By model, how many calls were answered from the cache."""
        self.misses = Counter[str]()
        """By model, how many calls were computed."""
        self._flights = SingleFlight[Prediction]()

    def start(self) -> None:
        """Connect to Redis, on the event loop that runs."""
        if self.redis is not None:
            self.redis.start()

    async def close(self) -> None:
        """Disconnect from Redis."""
        if self.redis is not None:
            await self.redis.close()

    async def answer(
        self,
        question: Question,
        lease: Callable[[], AbstractContextManager[T]],
        compute: Callable[[T], Awaitable[Prediction]],
    ) -> Prediction:
        """The answer in memory, in Redis, or that of ``compute``, which is then cached; raises what ``compute`` raises.

        The computation may outlive the caller, where others wait for it: ``lease`` holds what it needs.
        """
        begin = perf_counter_ns()
        if (kept := self.memory.get(question.key)) is not None:
            self.hits[question.model] += 1
            return Prediction(kept, lookup=perf_counter_ns() - begin)

        async def find_or_compute() -> Prediction:
            with lease() as leased:
                if self.redis is not None and (found := await self.redis.get(question)) is not None:
                    self.memory.put(question.key, *found)
                    return Prediction(found[0], lookup=perf_counter_ns() - begin)
                lookup = perf_counter_ns() - begin
                answer = await compute(leased)
                until = time.time() + question.seconds
                self.memory.put(question.key, answer.outputs, until)
                if self.redis is not None:
                    self.redis.put(question, answer.outputs, until)
                return replace(answer, lookup=lookup)

        shared = question.key in self._flights
        answer = await self._flights.run(question.key, find_or_compute)
        if shared:
            answer = Prediction(answer.outputs, lookup=perf_counter_ns() - begin)
        (self.misses if answer.execution else self.hits)[question.model] += 1
        return answer
