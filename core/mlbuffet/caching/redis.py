"""Answers in a Redis server, or one that speaks like it, which several servers share."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from numpy.typing import NDArray

from mlbuffet.caching.entry import decode_answer, encode_answer
from mlbuffet.caching.key import Question
from mlbuffet.caching.memory import size_of
from mlbuffet.errors import reason_of
from mlbuffet.tensors import Tensors

LONGEST_WAIT = 0.02
"""How many seconds a call waits for Redis; after one that waited in vain, none does until Redis answers again."""
LONGEST_PAUSE = 60.0
LARGEST = 2**20
"""Answers of more bytes are not shared: to carry them takes about as long as a call waits at most."""
AT_ONCE = 16
"""So many calls ask Redis at once, and so many answers are on their way to it; others do without."""
PREFIX = b"mlbuffet:"

logger = logging.getLogger(__name__)


class RedisCache:
    """Answers by question. Whatever is wrong with Redis is a miss, and after it a pause; for one event loop."""

    def __init__(self, url: str, longest_wait: float = LONGEST_WAIT) -> None:
        """``url`` is such as ``redis://host:6379/0``. Raises ``ValueError`` for another, or without redis-py."""
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import ResponseError
        except ImportError:
            raise ValueError("install mlbuffet[redis] for a cache in Redis") from None
        self._refused = ResponseError
        self._longest_wait = longest_wait
        self._redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            max_connections=2 * AT_ONCE + 1,
        )
        self._answers = False
        self._failures = 0
        self._complaint = ""
        self._asking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask Redis, on the event loop that runs; until it has answered once every question is a miss."""
        self._watching = asyncio.create_task(self._until_it_answers())

    @property
    def answers(self) -> bool:
        """Whether Redis is asked: it answered when it was asked last."""
        return self._answers

    async def get(self, question: Question) -> tuple[dict[str, NDArray[Any]], float] | None:
        """The outputs that answer ``question``, and until when they count."""
        if not self._answers or self._asking >= AT_ONCE:
            return None
        self._asking += 1
        try:
            async with asyncio.timeout(self._longest_wait):
                data = await self._redis.get(PREFIX + question.key)
        except Exception as error:  # noqa: BLE001 what redis-py makes of garbage is not documented
            self._failed(error)
            return None
        finally:
            self._asking -= 1
        self._failures = 0
        return decode_answer(data, question, time.time()) if isinstance(data, bytes) else None

    def put(self, question: Question, outputs: Tensors, until: float) -> None:
        """Send the answer to ``question`` in the background, where there is room."""
        if self._answers and len(self._tasks) < AT_ONCE and size_of(outputs) <= LARGEST and _fits(question, outputs):
            self._in_background(self._send(question, encode_answer(question, outputs, until)))

    async def close(self) -> None:
        """Ask no more."""
        self._answers = False
        tasks = [*self._tasks, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    async def _send(self, question: Question, data: bytes) -> None:
        try:
            async with asyncio.timeout(1):
                await self._redis.set(PREFIX + question.key, data, px=max(1, int(question.seconds * 1000)))
        except Exception as error:  # noqa: BLE001 likewise
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Leave Redis out for a while, unless it answered and said no: it is full, read-only, or has something else."""
        if not self._answers:
            return
        if isinstance(error, self._refused):
            self._complain(f"Redis refuses a part of the cache: {error}")
            return
        self._complain(f"the cache in Redis is left out until it answers: {reason_of(error)}")
        self._answers = False
        self._failures = max(1, self._failures)
        self._watching = asyncio.create_task(self._until_it_answers())

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            self._complaint = what
            logger.warning(what)

    async def _until_it_answers(self) -> None:
        """Ask Redis whether it is there, with pauses that become longer until it has answered a question too."""
        while True:
            await self._redis.connection_pool.disconnect()  # those who still wait for it go on without
            if self._failures:
                await asyncio.sleep(min(2.0 ** (self._failures - 1), LONGEST_PAUSE))
            self._failures += 1
            try:
                async with asyncio.timeout(self._longest_wait):
                    self._answers = await self._redis.ping()
            except Exception as error:  # noqa: BLE001 likewise
                self._complain(f"the cache in Redis is left out until it answers: {reason_of(error)}")
            if self._answers:
                self._complaint = ""
                return

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fits(question: Question, outputs: Tensors) -> bool:
    """Whether the outputs are such as the signature declares: only those are taken from Redis again."""
    return all(spec.accepts_shape(outputs[name].shape) for name, spec in question.outputs.items())
