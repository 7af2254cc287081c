"""The text of JSON numbers as an array, without Python objects, where pysimdjson is installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import SATURATED, kind_of

try:
    from simdjson import Parser
except ImportError:  # there is none for every Python and processor
    Parser = None  # type: ignore[assignment,misc]

LONGEST = 2**20  # bytes of a text that is read; a piece of a list is longer only where it is full of spaces

_WIDE = {"d": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64)}
"""The dtypes of simdjson's numbers, by its codes."""


def number_reader(dtype: np.dtype[Any]) -> Callable[[bytes], NDArray[Any] | None]:
    """A function for one thread, which turns the text of nested lists into a flat array of ``dtype``.

    It returns ``None`` for what is no JSON, no number, NaN, or out of the range of ``dtype``. Its parser takes some
    twenty times the memory of the longest text, and is freed with it.
    """
    kind = kind_of(dtype)
    if Parser is None or kind not in "fi" or dtype in SATURATED:
        return lambda _: None
    code = "d" if kind == "f" else "u" if dtype == np.uint64 else "i"
    parser, wide = Parser(), _WIDE[code]

    def read(text: bytes) -> NDArray[Any] | None:
        if len(text) > LONGEST:
            return None
        try:
            lists: Any = parser.parse(text)
            return _narrowed(np.frombuffer(lists.as_buffer(of_type=code), wide), dtype)
        except (ValueError, TypeError, RuntimeError):
            return None

    return read


def _narrowed(numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """``numbers``, which are finite, as ``dtype``, if it holds them all."""
    if dtype == numbers.dtype:
        return numbers
    with np.errstate(over="ignore"):
        narrow = numbers.astype(dtype)
    fits = np.isfinite(narrow) if numbers.dtype.kind == "f" else narrow.astype(numbers.dtype) == numbers
    return narrow if fits.all() else None
