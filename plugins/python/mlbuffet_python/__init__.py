"""What a model.py imports: the types of inputs and outputs, and the mark of the methods that clients call.

It needs numpy alone, so that a model can be tested where MLBuffet is not installed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

__all__ = [
    "Bool",
    "Bytes",
    "Complex64",
    "Complex128",
    "Float16",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "TensorType",
    "Text",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "signature",
]

MARK = "__mlbuffet_signature__"
F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:  # names of dimensions are no types: checkers are to leave the methods alone that have them
    from typing import no_type_check as signature
else:

    def signature(method: F) -> F:
        """Mark a method that clients may call: its annotations say what it takes and gives."""
        setattr(method, MARK, True)
        return method


@dataclass(frozen=True)
class TensorType:
    """A dtype, and with brackets a shape: ``Float32["batch", 4]``; without them a tensor of any rank.

    A dimension is a size, a name, or ``None`` for any size.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...] | None = None
    is_text: bool = False
    """Whether Python sees ``str``, where the tensor holds UTF-8."""

    def __getitem__(self, dimensions: Any) -> "TensorType":
        return replace(self, shape=dimensions if isinstance(dimensions, tuple) else (dimensions,))

    def __or__(self, other: None) -> "TensorType":
        """For ``Float32["batch"] | None = None``: the default says that an input may be left out."""
        return self if other is None else NotImplemented


Bool: Any = TensorType(np.dtype(bool))
Int8: Any = TensorType(np.dtype(np.int8))
Int16: Any = TensorType(np.dtype(np.int16))
Int32: Any = TensorType(np.dtype(np.int32))
Int64: Any = TensorType(np.dtype(np.int64))
UInt8: Any = TensorType(np.dtype(np.uint8))
UInt16: Any = TensorType(np.dtype(np.uint16))
UInt32: Any = TensorType(np.dtype(np.uint32))
UInt64: Any = TensorType(np.dtype(np.uint64))
Float16: Any = TensorType(np.dtype(np.float16))
Float32: Any = TensorType(np.dtype(np.float32))
Float64: Any = TensorType(np.dtype(np.float64))
Complex64: Any = TensorType(np.dtype(np.complex64))
Complex128: Any = TensorType(np.dtype(np.complex128))
Text: Any = TensorType(np.dtype(object), is_text=True)
Bytes: Any = TensorType(np.dtype(object))
