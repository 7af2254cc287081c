"""What is large is decoded and encoded off the event loop."""

from threading import get_ident

import anyio
import pytest

from mlbuffet.inference.offload import LARGE, offload


@pytest.mark.parametrize(("size", "where"), [(0, "the loop"), (LARGE - 1, "the loop"), (LARGE, "a thread")])
def test_a_thread_codes_what_is_large(size: int, where: str) -> None:
    async def coded() -> str:
        return "the loop" if await offload(size, get_ident) == get_ident() else "a thread"

    assert anyio.run(coded) == where
