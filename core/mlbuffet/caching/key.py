"""A call of a model, and the key under which its outputs are cached."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.parameters import Parameter
from mlbuffet.tensors import Tensors, TensorSpec

_LONG = (np.dtype(np.longdouble), np.dtype(np.clongdouble))
_PADDED = np.finfo(np.longdouble).nmant == 63
"""Whether a long double is that of Intel, of which the bytes after the tenth hold whatever was in memory before."""


@dataclass(frozen=True)
class Question:
    """One call of one model, whose inputs were checked: as arrays of the declared dtypes."""

    model: str
    content: bytes
    """The digest of what the model was loaded from."""
    signature: str
    outputs: Mapping[str, TensorSpec]
    """The requested outputs, in that order."""
    inputs: Tensors
    seconds: float
    """How long the outputs may be cached."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """In declared order, with defaults."""

    @cached_property
    def key(self) -> bytes:
        """Equal for equal calls of the same content alone: every part is preceded by its length."""
        digest = sha256()
        for part in self._parts():
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def _parts(self) -> Iterator[bytes | memoryview]:
        yield self.model.encode()
        yield self.content
        yield self.signature.encode()
        yield from _listed([name.encode() for name in self.outputs])
        yield len(self.inputs).to_bytes(8, "little")
        for name in sorted(self.inputs):
            array = self.inputs[name]
            yield name.encode()
            yield array.dtype.str.encode() + array.dtype.name.encode()  # those of ml_dtypes share one str
            yield from _listed([size.to_bytes(8, "little") for size in array.shape])
            yield from _listed(list(array.flat)) if array.dtype.kind == "O" else [bytes_of(array)]
        for name, value in self.parameters.items():  # of which repr is exact
            yield name.encode()
            yield repr(value).encode()


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The elements of an array, row-major, without a copy where they are so in memory."""
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if _PADDED and array.dtype in _LONG:
        raw = raw.copy()
        raw.reshape(-1, _LONG[0].itemsize)[:, 10:] = 0
    return raw.data


def _listed(parts: Sequence[bytes]) -> Iterator[bytes]:
    """The number of parts, and each."""
    yield len(parts).to_bytes(8, "little")
    yield from parts
