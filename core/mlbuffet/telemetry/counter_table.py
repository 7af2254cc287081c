"""Tables of numbers by key, in memory that other processes can read while one writes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, lockf
from mmap import mmap
from os import ftruncate
from struct import Struct
from threading import Lock
from typing import TypeAlias

import orjson

from mlbuffet.running_calls import file_in_memory

SIZE = 2**24
"""Bytes of a table: room for some ten thousand versions. Only pages that were written take memory."""
_HEAD = Struct("II")
"""Of an entry: the bytes of its key as JSON, and how many float64 come behind that; zeros behind the last entry."""

logger = logging.getLogger(__name__)

Key: TypeAlias = tuple[str | int, ...]
Numbers: TypeAlias = "memoryview[float]"


class CounterTable:
    """Entries are only added, and begin with zeros; a process adds to them with ``values(key)[slot] += 1``.

    One process at a time writes to ``memory``, and continues the values of its predecessor. When it is full, new
    entries stay in memory that this process alone can read.
    """

    def __init__(self, memory: memoryview | None = None) -> None:
        self._memory = memoryview(mmap(-1, SIZE)) if memory is None else memory
        self._entries: dict[Key, Numbers] = {}
        self._lock = Lock()
        self._end = 0
        self._read()

    def values(self, key: Key, count: int = 1) -> Numbers:
        """The ``count`` numbers of ``key``; adding to them is for one thread at a time."""
        with self._lock:
            if key not in self._entries:
                self._write(key, count)
                self._read()
            return self._entries[key]

    def add(self, key: Key, amounts: Sequence[float]) -> None:
        """Add to the numbers of ``key``, in any thread."""
        values = self.values(key, len(amounts))
        with self._lock:
            for slot, amount in enumerate(amounts):
                values[slot] += amount

    def items(self) -> list[tuple[Key, Numbers]]:
        """All keys, with their numbers; also what another process has added by now."""
        with self._lock:
            self._read()
            return list(self._entries.items())

    def _write(self, key: Key, count: int) -> None:
        text = orjson.dumps(key)
        text += b" " * (-len(text) % 8)  # numbers are aligned, so that each is read whole
        entry = text + bytes(8 * count + _HEAD.size)  # with the zeros behind it
        if self._end + _HEAD.size + len(entry) > len(self._memory):
            logger.warning("the memory for counters is full: other workers do not show what is new in this one")
            self._memory, self._end = memoryview(mmap(-1, SIZE)), 0
        self._memory[self._end + _HEAD.size :][: len(entry)] = entry
        _HEAD.pack_into(self._memory, self._end, len(text), count)  # last: until then, there is no entry to read

    def _read(self) -> None:
        while (head := _HEAD.unpack_from(self._memory, self._end))[0]:
            text, numbers = self._end + _HEAD.size, self._end + _HEAD.size + head[0]
            self._end = numbers + 8 * head[1]
            key = tuple(orjson.loads(self._memory[text:numbers]))
            self._entries[key] = self._memory[numbers : self._end].cast("d")


@dataclass(frozen=True)
class WorkerSlot:
    """A worker's section of the shared memory, which its replacement inherits; a lock shows whether it is alive.

    It is pickled to the process of a worker that starts. The memory of a single worker needs no file.
    """

    file: int = -1
    number: int = 0
    count: int = 1

    def take(self) -> list[CounterTable]:
        """The tables of all workers by their numbers; the own one is locked until this process ends."""
        if self.count > 1:
            lockf(self.file, LOCK_EX, 1, self.number)  # others have it only for the moment in which they look
        memory = memoryview(mmap(self.file, SIZE * self.count))
        return [CounterTable(memory[SIZE * number :][:SIZE]) for number in range(self.count)]

    def lives(self, number: int) -> bool:
        """Whether another slot has a worker that lives."""
        try:
            lockf(self.file, LOCK_SH | LOCK_NB, 1, number)
        except OSError:
            return True
        lockf(self.file, LOCK_UN, 1, number)
        return False


def worker_slots(count: int) -> list[WorkerSlot]:
    """One slot for each of ``count`` workers. Raises ``OSError``."""
    file = file_in_memory("mlbuffet-counters")
    ftruncate(file, SIZE * count)
    return [WorkerSlot(file, number, count) for number in range(count)]
