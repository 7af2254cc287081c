"""Memory of some megabytes is kept for the next request."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
SIZE = 4 * 2**20
from mlbuffet.cli.allocator import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        [b"x" * SIZE for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if "keep" in sys.argv:
    keep_memory()
[b"x" * SIZE for _ in range(4)]
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it speaks to glibc, and leaves others as they are")
def test_blocks_are_not_cleared_by_the_system_again_and_again() -> None:
    def page_faults(*arguments: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", SCRIPT, *arguments], text=True))

    assert page_faults("keep") < 10_000 < page_faults()
