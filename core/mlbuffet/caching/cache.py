"""From a question to its answer, of which equal ones under way at once are one."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from mlbuffet.caching.key import Question
from mlbuffet.caching.memory import MemoryCache
from mlbuffet.caching.redis import RedisCache
from mlbuffet.caching.single_flight import SingleFlight
from mlbuffet.tensors import Tensors

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """The outputs for a question, and whether the model was spared."""

    outputs: dict[str, NDArray[Any]]
    hit: bool


class PredictionCache:
    """Looks in the memory of this process, then in Redis if there is one, before a model computes.

    For one event loop.
    """

    def __init__(self, memory: MemoryCache, redis: RedisCache | None = None) -> None:
        self.memory = memory
        self.redis = redis
        self._flights = SingleFlight[Answered]()

    def start(self) -> None:
        """Begin, on the event loop that runs."""
        if self.redis is not None:
            self.redis.start()

    async def close(self) -> None:
        """End what runs in the background."""
        if self.redis is not None:
            await self.redis.close()

    async def answer(
        self,
        question: Question,
        lease: Callable[[], AbstractContextManager[T]],
        compute: Callable[[T], Awaitable[Tensors]],
    ) -> Answered:
        """The answer that is kept, or that of ``compute``, which is kept then; raises what ``compute`` raises.

        Computing may outlive the caller, for others who ask the same: ``lease`` gives what it needs for so long.
        """
        outputs = self.memory.get(question.key)
        if outputs is not None:
            return Answered(outputs, hit=True)

        async def find_or_compute() -> Answered:
            with lease() as leased:
                return await self._found(question) or self._kept(question, await compute(leased))

        shared = question.key in self._flights
        answered = await self._flights.run(question.key, find_or_compute)
        return Answered(answered.outputs, hit=shared or answered.hit)

    async def _found(self, question: Question) -> Answered | None:
        found = await self.redis.get(question) if self.redis is not None else None
        if found is None:
            return None
        outputs, until = found
        self.memory.put(question.key, outputs, until)
        return Answered(outputs, hit=True)

    def _kept(self, question: Question, outputs: Tensors) -> Answered:
        until = time.time() + question.seconds
        self.memory.put(question.key, outputs, until)
        if self.redis is not None:
            self.redis.put(question, outputs, until)
        return Answered(dict(outputs), hit=False)
