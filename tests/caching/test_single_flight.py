"""Equal work is done once, for whoever still waits for it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from mlbuffet.caching.single_flight import SingleFlight


class Work:
    """Work that ends when it may, and counts what became of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = self.given_up = 0
        self.may_end = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self._error:
            raise self._error
        return self.begun


def in_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        uvloop.run(asyncio.wait_for(test(), 10))

    run.__name__ = test.__name__
    return run


async def begun(flights: SingleFlight[int], work: Work, count: int) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(flights.run(b"k", work)) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


@in_a_loop
async def test_many_who_ask_at_once_get_one_result() -> None:
    flights, work = SingleFlight[int](), Work()
    tasks = await begun(flights, work, 50)
    assert b"k" in flights
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1] * 50
    assert (work.begun, b"k" in flights) == (1, False)
    assert await flights.run(b"k", work) == 2


@in_a_loop
async def test_other_work_is_done_besides() -> None:
    flights, work = SingleFlight[int](), Work()
    work.may_end.set()
    assert sorted(await asyncio.gather(flights.run(b"a", work), flights.run(b"b", work))) == [1, 2]


@in_a_loop
async def test_a_failure_reaches_all_who_wait_and_nobody_after_them() -> None:
    flights, work = SingleFlight[int](), Work(ValueError("no"))
    tasks = await begun(flights, work, 3)
    work.may_end.set()
    assert [str(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == ["no"] * 3
    with pytest.raises(ValueError, match="no"):
        await flights.run(b"k", work)
    assert (work.begun, b"k" in flights) == (2, False)


@pytest.mark.parametrize("leaver", [0, 1], ids=["who began it", "who joined"])
def test_one_who_goes_away_leaves_the_others_their_result(leaver: int) -> None:
    async def leave() -> None:
        flights, work = SingleFlight[int](), Work()
        tasks = await begun(flights, work, 3)
        tasks.pop(leaver).cancel()
        await asyncio.sleep(0.01)
        assert work.given_up == 0
        work.may_end.set()
        assert await asyncio.gather(*tasks) == [1, 1]

    uvloop.run(leave())


@in_a_loop
async def test_work_for_which_nobody_waits_any_more_is_given_up_and_can_begin_anew() -> None:
    flights, work = SingleFlight[int](), Work()
    tasks = await begun(flights, work, 3)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    again = await begun(flights, work, 1)
    assert (work.begun, work.given_up) == (2, 1)
    work.may_end.set()
    assert await again[0] == 2
    assert b"k" not in flights
