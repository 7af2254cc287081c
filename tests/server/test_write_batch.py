"""Answers of one turn of the event loop are written together."""

import asyncio
from collections.abc import Callable

import pytest
from typing_extensions import override

from mlbuffet.server.fast_path import write_batch as write_batch
from mlbuffet.server.fast_path.write_batch import WriteBatch

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Written(asyncio.Transport):
    """Keeps in one list what was written to all."""

    def __init__(self, name: str, everything: list[str]) -> None:
        super().__init__()
        self._name, self._everything = name, everything
        self.closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self._everything.append(f"{self._name}{bytes(data).decode()}")

    @override
    def is_closing(self) -> bool:
        return self.closed


async def turn(*actions: Callable[[], None]) -> None:
    for action in actions:
        action()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_one_answer_is_written_at_once() -> None:
    everything: list[str] = []
    box, a = WriteBatch(), Written("a", everything)
    box.put(a, b"1")
    assert everything == ["a1"]


async def test_several_wait_for_the_end_of_the_turn_in_their_order() -> None:
    everything: list[str] = []
    box, a, b = WriteBatch(), Written("a", everything), Written("b", everything)
    box.put(a, b"1")
    box.put(b, b"1")
    box.put(a, b"2")
    assert everything == ["a1"]
    await turn()
    assert everything == ["a1", "b1", "a2"]


async def test_in_a_crowd_the_first_waits_too_until_a_turn_has_one_alone() -> None:
    everything: list[str] = []
    box, a, b = WriteBatch(), Written("a", everything), Written("b", everything)
    await turn(lambda: box.put(a, b"1"), lambda: box.put(b, b"1"))
    box.put(a, b"2")
    assert everything == ["a1", "b1"]
    await turn()
    assert everything == ["a1", "b1", "a2"]
    box.put(a, b"3")
    assert everything[-1] == "a3"


async def test_none_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_batch, "LONGEST_WAIT", 0)
    everything: list[str] = []
    box, a = WriteBatch(), Written("a", everything)
    box.put(a, b"1")
    box.put(a, b"2")
    assert everything == ["a1", "a2"]


async def test_a_client_that_is_gone_keeps_no_answer_from_others() -> None:
    everything: list[str] = []
    box, a, b = WriteBatch(), Written("a", everything), Written("b", everything)
    for one in (a, a, b):
        box.put(one, b"1")
    a.closed = True
    box.flush()
    assert everything == ["a1", "b1"]
