"""A cache in the memory of this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import Tensors

CAPACITY = 128 * 2**20


class MemoryCache:
    """Outputs by key, within ``capacity`` bytes; the least recently used are evicted. For one thread."""

    def __init__(self, capacity: int = CAPACITY, now: Callable[[], float] = time.time) -> None:
        self.capacity = capacity
        self.size = 0
        """In bytes."""
        self._now = now
        self._entries: OrderedDict[bytes, tuple[dict[str, NDArray[Any]], int, float]] = OrderedDict()

    def get(self, key: bytes) -> dict[str, NDArray[Any]] | None:
        """The outputs that were put under ``key``; their arrays cannot be written to."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        outputs, _, until = entry
        if self._now() >= until:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return dict(outputs)

    def put(self, key: bytes, outputs: Tensors, until: float) -> None:
        """Keep copies of ``outputs`` until that moment, unless they alone are larger than the capacity."""
        size = size_of(outputs)
        if size > self.capacity:
            return
        if key in self._entries:
            self._drop(key)
        while self.size + size > self.capacity:
            self._drop(next(iter(self._entries)))
        # a runtime may reuse the memory of its outputs, or have returned a view of something large
        copies = {name: np.array(array, order="C") for name, array in outputs.items()}
        for copy in copies.values():
            copy.flags.writeable = False
        self._entries[key] = (copies, size, until)
        self.size += size

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, key: bytes) -> None:
        _, size, _ = self._entries.pop(key)
        self.size -= size


def size_of(outputs: Tensors) -> int:
    """The estimated bytes of an entry of ``outputs``."""
    elements = sum(
        sum(len(text) + 41 for text in array.flat) if array.dtype.kind == "O" else array.nbytes
        for array in outputs.values()
    )
    return 600 + 250 * len(outputs) + elements  # an entry has 600 bytes besides its arrays, and so on: measured
