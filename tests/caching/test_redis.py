"""Redis shares answers between servers, and whatever is wrong with it costs a miss."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, nullcontext
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
import uvloop

from mlbuffet import Tensors, TensorSpec
from mlbuffet.caching import MemoryCache, PredictionCache, Question, RedisCache
from mlbuffet.caching.entry import decode_answer, encode_answer
from mlbuffet.caching.redis import LARGEST, LONGEST_WAIT, MAX_CONCURRENT, PREFIX
from mlbuffet.scheduling import Execution, Prediction
from redis_server import free_port, redis_server

Y, TEXTS = TensorSpec("y", np.float32, (None, 2)), TensorSpec("texts", object, (None,))
OUTPUTS = {"y": np.array([[1, -0.0], [np.nan, 4]], np.float32), "texts": np.array([b"a\0", b""], object)}


def question(number: int = 0, *specs: TensorSpec, seconds: float = 60) -> Question:
    outputs = {spec.name: spec for spec in specs or (Y, TEXTS)}
    return Question("m", b"content", "s", outputs, {"x": np.array([number])}, seconds)


QUESTION = question()
PATIENCE = 5.0
"""Seconds; a machine that is busy with other tests may not answer in time for a server."""
UNTIL = time.time() + 10**6


@asynccontextmanager
async def cache_at(url: str, longest_wait: float = PATIENCE) -> AsyncIterator[RedisCache]:
    """A cache that asks the server at ``url``."""
    cache = RedisCache(url, longest_wait)
    cache.start()
    try:
        yield cache
    finally:
        async with asyncio.timeout(5):
            await cache.close()


async def until(reached: Callable[[], bool] | Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(15):
        while True:
            now = reached()
            if now if isinstance(now, bool) else await now:
                return
            await asyncio.sleep(0.01)


async def share(cache: RedisCache, asked: Question = QUESTION, outputs: Tensors = OUTPUTS) -> None:
    """Put an answer, and wait for it to arrive."""

    async def arrived() -> bool:
        cache.put(asked, outputs, time.time() + asked.seconds)
        return await cache.get(asked) is not None

    await until(arrived)


def same(found: tuple[dict[str, np.ndarray], float] | None, outputs: Tensors = OUTPUTS) -> bool:
    assert found is not None
    return all(
        (found[0][name].dtype, found[0][name].shape, found[0][name].tolist().__repr__())
        == (array.dtype, array.shape, array.tolist().__repr__())
        for name, array in outputs.items()
    )


def test_what_one_server_computed_another_finds() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url) as one, cache_at(server.url) as other:
                await share(one)
                await until(lambda: other.answers)
                assert same(await other.get(QUESTION))
                assert await other.get(question(1)) is None
                assert 0 < int(server.ask(b"PTTL", PREFIX + QUESTION.key)[1:]) <= 60_000

    uvloop.run(run())


def test_two_caches_compute_once_between_them() -> None:
    calls = 0

    async def compute(_: None) -> Prediction:
        nonlocal calls
        calls += 1
        return Prediction(OUTPUTS, Execution(rows=1, begun=0, join=0, infer=0, divide=0))

    async def run() -> None:
        with redis_server() as server:
            caches = [PredictionCache(MemoryCache(10_000), RedisCache(server.url, PATIENCE)) for _ in range(2)]
            hits = []
            for cache in caches:
                cache.start()
                await until(lambda one=cache.redis: one.answers)
                answers = [await cache.answer(QUESTION, nullcontext, compute) for _ in range(2)]
                hits += [answer.execution is None for answer in answers]
                await asyncio.sleep(0.1)  # it is sent in the background
            assert (calls, hits) == (1, [False, True, True, True])
            for cache in caches:
                await cache.close()

    uvloop.run(run())


def stored(**changes: Any) -> bytes:
    """A good answer, with changes."""
    answer = msgspec.msgpack.decode(encode_answer(QUESTION, OUTPUTS, UNTIL))
    places = {"key": 0, "until": 1, "outputs": 2}
    for name, value in changes.items():
        if name in places:
            answer[places[name]] = value
        else:
            answer[2][0][["name", "dtype", "shape", "elements"].index(name)] = value
    return msgspec.msgpack.encode(answer)


FOREIGN = {
    "nothing": b"",
    "text": b"hello",
    "a pickle": b"\x80\x04K\x01.",
    "a cut answer": stored()[:-1],
    "something after it": stored() + b"\0",
    "a list": msgspec.msgpack.encode([1, 2, 3]),
    "deep": b"\x91" * 100_000 + b"\x90",
    "a size that is a lie": b"\x93\xc6\xff\xff\xff\xff",
    "another key": stored(key=bytes(32)),
    "too old": stored(until=time.time() - 1),
    "no moment": stored(until=float("nan")),
    "no outputs": stored(outputs=[]),
    "another name": stored(name="z"),
    "another dtype": stored(dtype="int32"),
    "another rank": stored(shape=[4]),
    "another size of a fixed dimension": stored(shape=[4, 1]),
    "too few elements": stored(elements=bytes(12)),
    "too many elements": stored(elements=bytes(20)),
    "negative sizes": stored(shape=[-2, -2]),
    "sizes that overflow": stored(shape=[2**62, 2]),
    "a fraction as size": stored(shape=[2.5, 2]),
    "texts for numbers": stored(elements=[b"a"] * 4),
    "numbers for texts": msgspec.msgpack.encode(
        [QUESTION.key, UNTIL, [["y", "float32", [2, 2], bytes(16)], ["texts", "bytes", [2], bytes(2)]]]
    ),
}


def test_the_answer_that_the_foreign_ones_were_made_of_is_good() -> None:
    assert same(decode_answer(stored(), QUESTION, time.time()))


def test_a_foreign_value_is_a_miss() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url) as cache:
                await until(lambda: cache.answers)
                for name, value in FOREIGN.items():
                    assert server.ask(b"SET", PREFIX + QUESTION.key, value) == b"+OK"
                    assert await cache.get(QUESTION) is None, name
                server.ask(b"DEL", PREFIX + QUESTION.key)
                server.ask(b"LPUSH", PREFIX + QUESTION.key, b"a")
                assert await cache.get(QUESTION) is None
                assert cache.answers

    uvloop.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        [[1] * 65, bytes(4), "float32"],
        [[0, 2**63], b"", "float32"],
        [[0, 2**62, 2**62], b"", "float32"],
        [[2], b"\x01\x07", "bool"],
    ],
    ids=["too many dimensions", "a size beyond all", "sizes beyond all together", "a byte that is no bool"],
)
def test_what_numpy_would_not_take_is_a_miss(answer: list[Any]) -> None:
    shape, elements, dtype = answer
    asked = question(0, TensorSpec("y", dtype, None))
    data = msgspec.msgpack.encode([asked.key, UNTIL, [["y", dtype, shape, elements]]])
    assert decode_answer(data, asked, time.time()) is None


DTYPES = ["bool", "int8", "uint64", "float16", "float64", "complex64", ml_dtypes.bfloat16, ml_dtypes.int4]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_a_shared_answer_has_the_same_bits(dtype: Any) -> None:
    y = np.arange(6).reshape(3, 2).astype(dtype)[::2]
    asked = question(0, TensorSpec("y", dtype, (None, 2)))
    found = decode_answer(encode_answer(asked, {"y": y}, UNTIL), asked, time.time())
    assert found is not None
    assert (found[0]["y"].dtype, found[0]["y"].shape) == (y.dtype, y.shape)
    assert found[0]["y"].tobytes() == y.tobytes()


def test_no_answer_counts_for_longer_than_the_question_says() -> None:
    now = time.time()
    data = encode_answer(QUESTION, OUTPUTS, now + 10_000)  # by a server whose clock is ahead, or who lies
    found = decode_answer(data, QUESTION, now)
    assert found is not None
    assert found[1] == now + QUESTION.seconds


def test_outputs_other_than_declared_and_large_ones_are_not_shared() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url) as cache:
                await until(lambda: cache.answers)
                cache.put(question(1, Y), {"y": np.zeros((3, 3), np.float32)}, UNTIL)
                cache.put(question(2, Y), {"y": np.zeros((LARGEST, 2), np.float32)}, UNTIL)
                await share(cache)
                assert server.ask(b"DBSIZE") == b":1"

    uvloop.run(run())


def test_a_redis_that_comes_late_is_used_then() -> None:
    async def run() -> None:
        port = free_port()
        async with cache_at(f"redis://127.0.0.1:{port}") as cache:
            assert await cache.get(QUESTION) is None
            cache.put(QUESTION, OUTPUTS, UNTIL)
            with redis_server(port):
                await share(cache)

    uvloop.run(run())


def test_a_redis_that_is_killed_is_left_out_until_there_is_one_again(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        with redis_server() as first:
            async with cache_at(first.url) as cache:
                await share(cache)
                first.process.kill()
                first.process.wait()
                assert await cache.get(QUESTION) is None
                assert not cache.answers
                cache.put(QUESTION, OUTPUTS, UNTIL)
                with redis_server(first.port):
                    await share(cache)

    uvloop.run(run())
    assert "the cache in Redis is left out until it answers" in caplog.text


def test_a_frozen_redis_keeps_those_waiting_once_who_ask_it_then() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url, LONGEST_WAIT) as cache:
                await share(cache)
                await until(lambda: cache.answers)
                os.kill(server.process.pid, signal.SIGSTOP)
                try:
                    begin = time.perf_counter()
                    answers = await asyncio.gather(*(cache.get(QUESTION) for _ in range(3 * MAX_CONCURRENT)))
                    assert answers == [None] * 48
                    assert time.perf_counter() - begin < 2  # it would be for ever
                    assert not cache.answers
                    begin = time.perf_counter()
                    for _ in range(1000):
                        assert await cache.get(QUESTION) is None
                        cache.put(QUESTION, OUTPUTS, UNTIL)
                    assert time.perf_counter() - begin < 5  # it would be 20, were each to wait
                finally:
                    os.kill(server.process.pid, signal.SIGCONT)
                await share(cache)

    uvloop.run(run())


def test_closing_does_not_wait_for_a_frozen_redis() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url) as cache:
                await share(cache)
                os.kill(server.process.pid, signal.SIGSTOP)
                for number in range(MAX_CONCURRENT):
                    cache.put(question(number), OUTPUTS, UNTIL)
                await asyncio.sleep(0)

    uvloop.run(run())


GARBAGE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "random": bytes(range(256)) * 20,
    "an endless value": b"$99999999999\r\n" + b"x" * 100_000,
    "a size that is none": b"$abc\r\n",
    "a negative size": b"$-7\r\nhello\r\n",
    "an endless list": b"*1000000000\r\n",
    "lists in lists": b"*1\r\n" * 50_000,
    "an error": b"-ERR no\r\n",
    "a number": b":12\r\n",
    "half a line": b"+PO",
    "nothing, and it hangs up": b"",
}


@pytest.mark.parametrize("polite", [False, True], ids=["at once", "after a greeting"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_miss(kind: str, *, polite: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while data := await reader.read(1000):
                greeting = b"+OK\r\n" * data.count(b"SETINFO") + b"+PONG\r\n" * data.count(b"PING")
                writer.write(greeting if polite and greeting else GARBAGE[kind])
                if not GARBAGE[kind] and not (polite and greeting):
                    return

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, cache_at(address, LONGEST_WAIT) as cache:
            if polite:
                await until(lambda: cache.answers)
            else:
                await asyncio.sleep(0.1)
                assert not cache.answers
            for _ in range(3):
                assert await cache.get(QUESTION) is None
                cache.put(QUESTION, OUTPUTS, UNTIL)
                await asyncio.sleep(0.01)

    uvloop.run(run())


def test_a_redis_without_room_is_read_all_the_same() -> None:
    async def run() -> None:
        with redis_server() as server:
            async with cache_at(server.url) as cache:
                await share(cache)
                assert server.ask(b"CONFIG", b"SET", b"maxmemory", b"1") == b"+OK"
                cache.put(question(1), OUTPUTS, UNTIL)
                await asyncio.sleep(0.2)
                assert await cache.get(question(1)) is None
                assert same(await cache.get(QUESTION))

    uvloop.run(run())


def test_without_redis_py_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ValueError, match=r"install mlbuffet\[redis\]"):
        RedisCache("redis://127.0.0.1")


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RedisCache(url)
