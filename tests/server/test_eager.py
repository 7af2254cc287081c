"""What an awaitable gives at once needs no event loop; the rest of it is awaited as ever."""

import asyncio

import pytest

from mlbuffet.server.eager import Pending, begin


async def after(event: asyncio.Event | None, log: list[str]) -> str:
    try:
        if event is not None:
            await event.wait()
            await asyncio.sleep(0)
        return "done"
    finally:
        log.append("cleaned up")


def test_what_does_not_wait_is_there_at_once() -> None:
    assert begin(after(None, [])) == "done"


def test_what_waits_goes_on_where_it_was() -> None:
    async def program() -> None:
        event = asyncio.Event()
        rest = begin(after(event, []))
        assert isinstance(rest, Pending)
        event.set()
        assert await rest == "done"

    asyncio.run(program())


def test_an_error_comes_at_once_too() -> None:
    async def fails() -> None:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        begin(fails())


def test_what_waits_can_be_given_up() -> None:
    async def program() -> None:
        log: list[str] = []
        rest = begin(after(asyncio.Event(), log))
        assert isinstance(rest, Pending)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await rest
        assert log == ["cleaned up"]

    asyncio.run(program())
