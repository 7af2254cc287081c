"""How much of a stream is read before its messages are answered."""

import asyncio
from typing import Any

import grpc
import pytest

from mlbuffet.grpc.call_log import CallLog
from mlbuffet.grpc.handlers import MOST_BYTES, MOST_UNANSWERED, StreamHandler
from mlbuffet.grpc.service import Call, Encoded, StreamMethod
from mlbuffet.telemetry.counter_table import CounterTable
from mlbuffet.telemetry.request_counters import RequestCounters

COUNT = 200


class Stream:
    """A client that sends ``COUNT`` messages of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self.answers: list[bytes] = []

    async def read(self) -> Any:
        self.sent += 1
        return bytes(self.size) if self.sent <= COUNT else grpc.aio.EOF

    async def write(self, answer: bytes) -> None:
        self.answers.append(answer)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> None:
        return None

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"


@pytest.mark.parametrize(
    ("size", "read"),
    [(10, MOST_UNANSWERED), (MOST_BYTES // 4, 4), (MOST_BYTES + 1, 1)],
    ids=["small", "large", "larger than all"],
)
def test_no_more_is_read_than_may_wait_for_answers(size: int, read: int) -> None:
    async def run() -> tuple[int, list[bytes]]:
        may_answer = asyncio.Event()

        async def answer(_: Call, message: bytes) -> Encoded:
            await may_answer.wait()
            return Encoded(message[:1])

        method = StreamMethod(lambda body: body, answer, lambda _, text: Encoded(text.encode()))
        log = CallLog(RequestCounters(CounterTable()), access_log=False)
        stream = Stream(size)
        answering = asyncio.create_task(StreamHandler("/a/b", "grpc", method, log).answer(None, stream))
        while stream.sent < read + 1:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        came = stream.sent
        may_answer.set()
        await answering
        return came, stream.answers

    came, answers = asyncio.run(run())
    assert came == read + 1, "one more is read than is being answered"
    assert answers == [b"\0"] * COUNT
