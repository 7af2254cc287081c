"""The memory that the C library keeps for the next request, instead of giving it back after each."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt
LARGEST = 16 * 2**20
"""Bytes of a block that is kept; what is larger is given back at once."""
KEPT = 2 * LARGEST
"""Bytes that may lie unused at the end of each of glibc's heaps."""


def keep_memory() -> None:
    """Let glibc keep blocks of some megabytes, such as bodies and arrays; other C libraries stay as they are.

    Memory that comes fresh from the system is cleared page by page when it is first touched, which for a body of 2 MB
    takes longer than all that is done with it.
    """
    with suppress(OSError, AttributeError):  # there is no such function elsewhere
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGEST)
        mallopt(_TRIM_THRESHOLD, KEPT)
