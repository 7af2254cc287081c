"""A cache in a Redis server, or a compatible one, which several servers share."""

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
"""How many seconds a call waits for Redis; after a timeout, Redis is not used until it responds again."""
LARGEST = 2**20  # outputs of more bytes are not shared: to transfer them takes about as long as a call waits at most
MAX_CONCURRENT = 16  # how many reads, and how many writes, run at once; other calls do without
PREFIX = b"mlbuffet:"

logger = logging.getLogger(__name__)


class RedisCache:
    """Outputs by question, for one event loop. Any failure of Redis is a miss, with a pause after it."""

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
        retry = Retry(NoBackoff(), 0)
        connections = 2 * MAX_CONCURRENT + 1
        self._redis = Redis.from_url(url, protocol=2, retry=retry, socket_timeout=None, max_connections=connections)
        self.answers = False
        """Whether Redis responded last time, and is used."""
        self._failures = 0
        self._warning = ""
        self._reads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Connect to Redis, on the event loop that runs; until it has responded, every question is a miss."""
        self._in_background(self._until_it_answers())

    async def get(self, question: Question) -> tuple[dict[str, NDArray[Any]], float] | None:
        """The outputs that answer ``question``, and until when they are valid."""
        if not self.answers or self._reads >= MAX_CONCURRENT:
            return None
        self._reads += 1
        try:
            async with asyncio.timeout(self._longest_wait):
                data = await self._redis.get(PREFIX + question.key)
        except Exception as error:  # noqa: BLE001 what redis-py raises for garbage is not documented
            self._failed(error)
            return None
        finally:
            self._reads -= 1
        self._failures = 0
        return decode_answer(data, question, time.time()) if isinstance(data, bytes) else None

    def put(self, question: Question, outputs: Tensors, until: float) -> None:
        """Send the outputs that answer ``question`` in the background, where there is room."""
        declared = all(spec.accepts_shape(outputs[name].shape) for name, spec in question.outputs.items())
        if self.answers and len(self._tasks) < MAX_CONCURRENT and size_of(outputs) <= LARGEST and declared:
            self._in_background(self._send(question, encode_answer(question, outputs, until)))

    async def close(self) -> None:
        """Cancel what runs in the background, and disconnect."""
        self.answers = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    async def _send(self, question: Question, data: bytes) -> None:
        try:
            async with asyncio.timeout(1):
                await self._redis.set(PREFIX + question.key, data, px=max(1, int(question.seconds * 1000)))
        except Exception as error:  # noqa: BLE001 likewise
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Do without Redis for a while, unless it responded with an error: it is full, read-only, or the like."""
        if not self.answers:
            return
        if isinstance(error, self._refused):
            self._warn(f"Redis refuses a part of the cache: {error}")
            return
        self._warn(f"the cache in Redis is left out until it answers: {reason_of(error)}")
        self.answers = False
        self._failures = max(1, self._failures)
        self.start()

    def _warn(self, message: str) -> None:
        if message != self._warning:
            self._warning = message
            logger.warning(message)

    async def _until_it_answers(self) -> None:
        """Ping Redis, with pauses that become longer until a read succeeds too."""
        while not self.answers:
            await self._redis.connection_pool.disconnect()  # ends the reads that still wait
            if self._failures:
                await asyncio.sleep(min(2.0 ** (self._failures - 1), 60.0))
            self._failures += 1
            try:
                async with asyncio.timeout(self._longest_wait):
                    self.answers = await self._redis.ping()
            except Exception as error:  # noqa: BLE001 likewise
                self._warn(f"the cache in Redis is left out until it answers: {reason_of(error)}")
        self._warning = ""

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
