"""An event loop in a thread of its own."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Lock, Thread, current_thread
from typing import Any, TypeVar

from mlbuffet.errors import RepositoryClosed

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for callers in any other thread, until it is closed."""

    def __init__(self, name: str) -> None:
        self._started = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
        self._is_closed = False
        self._lock = Lock()
        self._thread = Thread(target=asyncio.run, args=[self._run()], name=name, daemon=True)
        self._thread.start()
        self._loop, self._stopping = self._started.result()

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """The result of ``work`` to come; cancelling it cancels ``work``. Raises `RepositoryClosed` after `close`."""
        with self._lock:
            if not self._is_closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RepositoryClosed("was closed")

    def close(self) -> None:
        """Cancel what is still under way, and let the thread end; to be called once."""
        with self._lock:
            self._is_closed = True
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not current_thread():
            self._thread.join()

    async def _run(self) -> None:
        stopping = asyncio.Event()
        self._started.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
