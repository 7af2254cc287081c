"""The event loop stays awake for clients that ask again at once, and for no others."""

import asyncio
from time import perf_counter

import pytest

from mlbuffet.server.fast_path import busy_poll
from mlbuffet.server.fast_path.busy_poll import BusyPoll

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def polls_in(seconds: float) -> int:
    """How often the loop looks for sockets, where nothing else is to be done."""
    loop, polls = asyncio.get_running_loop(), 0
    select = loop._selector.select  # type: ignore[attr-defined]  # what it waits in

    def counted(timeout: float | None = None) -> object:
        nonlocal polls
        polls += timeout == 0
        return select(timeout)

    loop._selector.select = counted  # type: ignore[attr-defined]
    await asyncio.sleep(seconds)
    loop._selector.select = select  # type: ignore[attr-defined]
    return polls


async def test_it_stays_awake_for_a_moment_where_the_next_request_came_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "LONGEST", 0.05)
    poll = BusyPoll()
    poll.note_answers()
    poll.note_request(perf_counter())
    poll.note_answers()
    assert await polls_in(0.1) > 10
    assert await polls_in(0.1) < 5


async def test_it_sleeps_where_the_next_request_came_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_poll, "LONGEST", 0.05)
    poll = BusyPoll()
    poll.note_answers()
    poll.note_request(perf_counter() + busy_poll.SOON)
    poll.note_answers()
    assert await polls_in(0.1) < 5
