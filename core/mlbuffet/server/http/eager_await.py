"""Awaitables that are begun without a task: a result that is available needs no timer and no turn of the event loop."""

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """The rest of an awaitable that has begun and waits; to be awaited once."""

    def __init__(self, steps: Generator[Any, Any, T], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            yield self._waits_for
        except BaseException as error:  # noqa: BLE001  it is for the awaitable to handle
            try:
                waits_for = self._steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            return (yield from Pending(self._steps, waits_for).__await__())
        return (yield from self._steps)


def begin(awaitable: Awaitable[T]) -> T | Pending[T]:
    """The result of ``awaitable`` where it does not have to wait, else the rest of it."""
    steps = awaitable.__await__()
    try:
        return Pending(steps, next(steps))
    except StopIteration as end:
        result: T = end.value
        return result
