"""The text of JSON numbers as an array, with no Python object for each, where pysimdjson is installed."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import SATURATED, kind_of

try:
    from simdjson import Parser
except ImportError:  # there is none for every Python and processor
    Parser = None  # type: ignore[assignment,misc]

ReadNumbers: TypeAlias = Callable[[bytes], NDArray[Any] | None]

LONGEST = 2**20
"""Bytes of a text that is read; one piece of a list is longer only where somebody fills it with spaces."""

_WIDE = {"d": np.dtype(np.float64), "i": np.dtype(np.int64), "u": np.dtype(np.uint64)}
"""What simdjson makes of numbers, by its codes."""


def number_reader(dtype: np.dtype[Any]) -> ReadNumbers:
    """A function for one thread, which makes one flat array of ``dtype`` of the text of nested lists.

    It gives ``None`` for all that is unusual: for what is no JSON, no number, NaN, or out of the range of ``dtype``.
    What it works in takes some twenty times the memory of the longest text, and is freed with it.
    """
    code = _code_of(dtype)
    if Parser is None or code is None:
        return _read_nothing
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


def _read_nothing(text: bytes) -> None:  # noqa: ARG001  as every reader
    return None


def _code_of(dtype: np.dtype[Any]) -> str | None:
    match kind_of(dtype):
        case "f":
            return None if dtype in SATURATED else "d"
        case "i":
            return "u" if dtype == np.uint64 else "i"
        case _:
            return None


def _narrowed(numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """``numbers``, which are finite, as ``dtype``, if it holds them all."""
    if dtype == numbers.dtype:
        return numbers
    with np.errstate(over="ignore"):
        narrow = numbers.astype(dtype)
    fits = np.isfinite(narrow) if numbers.dtype.kind == "f" else narrow.astype(numbers.dtype) == numbers
    return narrow if fits.all() else None
