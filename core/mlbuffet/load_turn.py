"""Whose turn it is, where the loads of a runtime run one after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock

_held: ContextVar[tuple[RLock, ...]] = ContextVar("held_load_turns", default=())
"""The locks of the loads that this thread is in, the outer first."""


class LoadTurn:
    """Held by the thread that loads a model of one runtime. A load may load another model, and may wait for one."""

    def __init__(self) -> None:
        self._lock = RLock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around a load."""
        with self._lock:
            token = _held.set((*_held.get(), self._lock))
            try:
                yield
            finally:
                _held.reset(token)


@contextmanager
def load_turns_given_up() -> Iterator[None]:
    """While a load waits for another: until it goes on, others have the turn that this thread has."""
    locks = _held.get()
    for lock in locks:
        lock.release()
    try:
        yield
    finally:
        for lock in locks:
            lock.acquire()
