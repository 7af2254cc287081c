"""What an awaitable gives at once needs no event loop; the rest of it is awaited as ever."""

import asyncio

import pytest

from mlbuffet.server.http.eager_await import Pending, begin


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


def test_what_waits_hears_why_it_is_given_up_and_may_have_the_last_word() -> None:
    async def stubborn(gone: asyncio.Event) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await gone.wait()
            return "the last word"
        return "never"

    async def program() -> None:
        gone = asyncio.Event()

        async def whole() -> str:
            rest = begin(stubborn(gone))
            assert isinstance(rest, Pending)
            return await rest

        task = asyncio.create_task(whole())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        gone.set()
        assert await task == "the last word"

    asyncio.run(program())


def test_an_error_of_what_was_waited_for_reaches_who_waits() -> None:
    async def program() -> None:
        future = asyncio.get_running_loop().create_future()

        async def told() -> str:
            try:
                await future
            except ValueError:
                return "told"
            return "never"

        rest = begin(told())
        assert isinstance(rest, Pending)
        future.set_exception(ValueError())
        assert await rest == "told"

    asyncio.run(program())
