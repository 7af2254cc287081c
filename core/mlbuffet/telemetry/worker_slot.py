"""The memory in which the workers of a server count, each in its part."""

from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, lockf
from mmap import mmap
from os import ftruncate
from typing import Any

from mlbuffet.running_calls import file_in_memory
from mlbuffet.telemetry.counter_table import SIZE


class WorkerSlot:
    """A worker's section of the shared memory, which its replacement inherits; a lock shows whether it is alive.

    It is pickled to the process of a worker that starts.
    """

    def __init__(self, file: int, number: int, count: int) -> None:
        self._file = file
        self._number = number
        self._count = count

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self._file), self._number, self._count)

    def take(self) -> memoryview:
        """The memory, which is locked until this process ends."""
        lockf(self._file, LOCK_EX, 1, self._number)  # others have it only for the moment in which they look
        self._memory = memoryview(mmap(self._file, SIZE * self._count))
        return self._part(self._number)

    def others(self) -> dict[int, memoryview]:
        """The memory of the other slots, by their numbers."""
        return {number: self._part(number) for number in range(self._count) if number != self._number}

    def lives(self, number: int) -> bool:
        """Whether another slot has a worker that lives."""
        try:
            lockf(self._file, LOCK_SH | LOCK_NB, 1, number)
        except OSError:
            return True
        lockf(self._file, LOCK_UN, 1, number)
        return False

    def _part(self, number: int) -> memoryview:
        return self._memory[SIZE * number : SIZE * (number + 1)]


def worker_slots(count: int) -> list[WorkerSlot]:
    """One slot for each of ``count`` workers. Raises ``OSError``."""
    file = file_in_memory("mlbuffet-counters")
    ftruncate(file, SIZE * count)
    return [WorkerSlot(file, number, count) for number in range(count)]


def _received(file: Any, number: int, count: int) -> WorkerSlot:
    return WorkerSlot(file.detach(), number, count)
