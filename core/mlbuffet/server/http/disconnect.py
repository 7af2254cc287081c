"""Cancelling work whose client disconnects."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

T = TypeVar("T")


async def unless_disconnected(work: Awaitable[T], receive: Receive) -> T:
    """The result of ``work``. Raises `ClientDisconnect`, and cancels ``work``, when the client disconnects.

    ``receive`` is that of a request whose body was read to its end.
    """
    task = asyncio.current_task()
    assert task is not None
    watch = _Watch(task, receive)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.is_disconnected and not task.uncancel():
            raise ClientDisconnect from None
        raise
    finally:
        watch.end()


class _Watch:
    """Cancels ``waiting`` when ``receive`` reports that the client has disconnected, until `end` is called.

    uvicorn's ``receive`` waits for one future at a time, so that a callback on that is enough, which costs half as much
    as a task. That of another server, or of a middleware around the application, may need a task.
    """

    def __init__(self, waiting: asyncio.Task[Any], receive: Receive) -> None:
        self.is_disconnected = self._has_ended = False
        self._waiting = waiting
        self._receive = receive
        self._steps: Generator[Any, Any, Message] | None = None
        self._waits_for: asyncio.Future[object] | None = None
        self._task: asyncio.Task[None] | None = None
        if isinstance(getattr(receive, "__self__", None), RequestResponseCycle):
            self._listen()
        else:
            self._task = asyncio.create_task(self._await_end())

    def end(self) -> None:
        """Stop listening, also where `_listen` is about to be called."""
        self._has_ended = True
        if self._task is not None:
            self._task.cancel()
        if self._waits_for is not None:
            self._waits_for.remove_done_callback(self._listen)
        if self._steps is not None:
            self._steps.close()

    def _listen(self, _: object = None) -> None:
        """Run ``receive`` until it waits, or the client has disconnected."""
        self._waits_for = None
        while not (self.is_disconnected or self._has_ended):
            self._steps = self._steps or self._receive().__await__()
            try:
                self._waits_for = next(self._steps)
            except StopIteration as end:
                self._steps = None
                self._take(end.value)
            else:
                self._waits_for.add_done_callback(self._listen)
                return

    async def _await_end(self) -> None:
        while not self.is_disconnected:
            self._take(await self._receive())

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.is_disconnected = True
            self._waiting.cancel()
