"""A table of numbers by key, in memory that other processes can read while this one writes."""

import logging
from collections.abc import Sequence
from mmap import mmap
from struct import Struct
from threading import Lock
from typing import TypeAlias

import orjson

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
        self._is_full = False
        self.items()

    def values(self, key: Key, count: int = 1) -> Numbers:
        """The ``count`` numbers of ``key``; adding to them is for one thread at a time."""
        with self._lock:
            return self._entries.get(key) or self._add(key, count)

    def add(self, key: Key, amounts: Sequence[float]) -> None:
        """Add to the numbers of ``key``, in any thread."""
        values = self.values(key, len(amounts))
        with self._lock:
            for slot, amount in enumerate(amounts):
                values[slot] += amount

    def items(self) -> list[tuple[Key, Numbers]]:
        """All keys, with their numbers; also what another process has added by now."""
        with self._lock:
            while (head := _HEAD.unpack_from(self._memory, self._end))[0]:
                self._read(*head)
            return list(self._entries.items())

    def _add(self, key: Key, count: int) -> Numbers:
        text = orjson.dumps(key)
        first = _HEAD.size + _aligned(len(text))
        end = first + 8 * count
        entry = self._memory[self._end : self._end + end + _HEAD.size]  # with the zeros behind it
        if len(entry) < end + _HEAD.size:
            entry = memoryview(bytearray(end + _HEAD.size))
            if not self._is_full:
                logger.warning("the memory for counters is full: other workers do not show what is new in this one")
            self._is_full = True
        else:
            self._end += end
        entry[_HEAD.size :] = text.ljust(len(entry) - _HEAD.size, b"\0")
        _HEAD.pack_into(entry, 0, len(text), count)  # last: until then, there is no entry for those who read
        values = self._entries[key] = entry[first:end].cast("d")
        return values

    def _read(self, length: int, count: int) -> None:
        text = self._end + _HEAD.size
        first = text + _aligned(length)
        self._end = first + 8 * count
        key = tuple(orjson.loads(self._memory[text : text + length]))
        self._entries[key] = self._memory[first : self._end].cast("d")


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
