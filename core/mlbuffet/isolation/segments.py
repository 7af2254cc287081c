"""Memory that two processes share, in segments of which one process says who uses them."""

import fcntl
import mmap
import os
from collections import defaultdict
from contextlib import suppress

_SMALLEST = 4096
_KEPT = 16 * 2**20
"""What an unused segment keeps of the machine's memory at most, in bytes."""


class Segments:
    """A file in memory that has no name, so that nothing of it is left when its processes have ended."""

    def __init__(self) -> None:
        self.file = os.memfd_create("mlbuffet-tensors", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.file, 32 * _SMALLEST)
        # the other process cannot make memory disappear that this one reads
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.memory = mmap.mmap(self.file, 32 * _SMALLEST)
        self._end = _SMALLEST  # the first page is the mailbox
        self._free: dict[int, list[int]] = defaultdict(list)

    def take(self, size: int) -> tuple[int, int]:
        """The place of an unused segment of at least ``size`` bytes, and how many it has; in one thread at a time."""
        capacity = max(_SMALLEST, 1 << (size - 1).bit_length())
        with suppress(IndexError):
            return self._free[capacity].pop(), capacity
        place, self._end = self._end, self._end + capacity
        if self._end > len(self.memory):
            whole = max(self._end, 2 * len(self.memory))
            os.ftruncate(self.file, whole)
            self.memory = mmap.mmap(self.file, whole)  # arrays keep the mapping before it, of the same memory
        return place, capacity

    def give(self, place: int, capacity: int) -> None:
        """Let the segment be used again; in any thread."""
        if capacity > _KEPT:
            with suppress(OSError):
                self.memory.madvise(mmap.MADV_REMOVE, place + _KEPT, capacity - _KEPT)
        self._free[capacity].append(place)

    def close(self) -> None:
        """Arrays that lie in it stay as they are."""
        os.close(self.file)
        del self.memory


class SharedSegments:
    """The same in the other process."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.memory = mmap.mmap(file, os.fstat(file).st_size)

    def reach(self, size: int) -> None:
        """Map the first ``size`` bytes."""
        if size > len(self.memory):
            self.memory = mmap.mmap(self.file, size)

    def close(self) -> None:
        """Arrays that lie in it stay as they are."""
        os.close(self.file)
        del self.memory
