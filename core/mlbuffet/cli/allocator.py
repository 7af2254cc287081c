"""The memory that the C library keeps for the next request, instead of returning it after each."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers for mallopt
LARGEST = 16 * 2**20  # bytes of a block that is kept
KEPT = 2 * LARGEST  # bytes that may be unused at the end of each of glibc's heaps


def keep_memory() -> None:
    """Let glibc keep blocks of some megabytes, such as bodies and arrays; other C libraries stay as they are.

    The system clears new memory page by page when it is first used, which for a body of 2 MB takes longer than all
    other work on it.
    """
    with suppress(OSError, AttributeError):  # there is no such function elsewhere
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, LARGEST)
        mallopt(_TRIM_THRESHOLD, KEPT)
