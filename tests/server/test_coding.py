"""What is large is decoded and encoded off the event loop."""

from threading import get_ident

import anyio
import numpy as np
import pytest

from mlbuffet.server.coding import LARGE, code, size_of


@pytest.mark.parametrize(("size", "where"), [(0, "the loop"), (LARGE - 1, "the loop"), (LARGE, "a thread")])
def test_a_thread_codes_what_is_large(size: int, where: str) -> None:
    async def coded() -> str:
        return "the loop" if await code(size, get_ident) == get_ident() else "a thread"

    assert anyio.run(coded) == where


def test_the_size_of_texts_is_that_of_their_bytes() -> None:
    texts = np.array([[b"abc", b""], [b"d" * 5000, b"e"]], object)
    assert size_of({"x": np.zeros((2, 3), np.float64), "t": texts, "none": np.zeros((0, 4), np.int8)}) == 48 + 5004
