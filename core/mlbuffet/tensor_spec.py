"""The declaration of one input or output of a model: its name, dtype and shape."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlbuffet.conversion import PYTHON_TYPES, array_from_python, dtype_name, is_small, wrong_dtype
from mlbuffet.errors import InvalidInput
from mlbuffet.text_arrays import bytes_of_text

Shape: TypeAlias = tuple[int | str | None, ...] | None
"""The dimensions: a size, a name, or ``None`` for any size; instead of a tuple, ``None`` for any rank.

Dimensions of one name have one size in a call.
"""

Sizes: TypeAlias = tuple[int | None, ...] | None
"""A shape in which a name is ``None``, too."""

_SHOWN_OPTIONAL = 5


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of one input or output.

    ``dtype`` is a bool, integer, float or complex type of numpy or ml_dtypes, or ``object`` for bytes. An ``optional``
    input may be left out of a call. ``labels`` are the names of the classes whose scores an output has along its last
    axis. ``wire_name`` is what the model's file calls the tensor, where that is another name: TensorFlow Serving's
    metadata shows it, and nothing else uses it, so specs that differ in it alone are equal.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    optional: bool = False
    labels: tuple[str, ...] = ()
    description: str = ""
    wire_name: str | None = field(default=None, compare=False)
    sizes: Sizes = field(init=False, compare=False, repr=False)
    """``shape`` with ``None`` for the names, too."""

    def __init__(
        self,
        name: str,
        dtype: DTypeLike,
        shape: Iterable[int | str | None] | None,
        *,
        optional: bool = False,
        labels: Iterable[str] = (),
        description: str = "",
        wire_name: str | None = None,
    ) -> None:
        exact = native(np.dtype(dtype))
        if exact.kind not in "biufcO" and not is_small(exact):
            problem = f"{exact} is not the dtype of a tensor; text and bytes are declared as object"
            raise ValueError(f"tensor {name!r}: {problem}")
        if type(name) is not str or type(wire_name or "") is not str:
            raise TypeError(f"the names of a tensor are text, not {name!r} and {wire_name!r}")
        dimensions = _dimensions(name, shape)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dtype", exact)
        object.__setattr__(self, "shape", dimensions)
        object.__setattr__(self, "optional", optional)
        object.__setattr__(self, "labels", _labels(name, labels, dimensions))
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "wire_name", wire_name)
        object.__setattr__(self, "sizes", _sizes(dimensions))

    def __str__(self) -> str:
        text = f"{self.name}: {dtype_name(self.dtype)} {shape_text(self.shape)}"
        return f"{text} optional" if self.optional else text

    def check(self, value: Any, *, any_shape: bool = False) -> NDArray[Any]:
        """``value`` as the array that this input takes, or `InvalidInput`.

        A Python list or scalar is converted (`mlbuffet.conversion`); a numpy array must have the dtype already, in
        any byte order. With ``any_shape`` its rank and sizes may be others than declared.
        """
        array = value if type(value) is np.ndarray else self._array(value)
        if array.dtype is not self.dtype and array.dtype != self.dtype:  # built-in dtypes are singletons
            if self.dtype.kind == "O" and array.dtype.kind in "SUT":
                array = array.astype(object)
            elif native(array.dtype) == self.dtype:
                array = array.astype(self.dtype)
            else:
                raise wrong_dtype(self.name, array, self.dtype)
        if not any_shape and not self.accepts_shape(array.shape):
            shape = shape_text(array.shape)
            raise InvalidInput(f"input {self.name!r} has shape {shape}; the model takes {shape_text(self.shape)}")
        return bytes_of_text(array, self.name) if self.dtype.kind == "O" else array

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of ``shape`` fits: any rank, or the same rank and every static dimension equal."""
        if self.sizes is None:
            return True
        if len(shape) != len(self.sizes):
            return False
        for declared, came in zip(self.sizes, shape, strict=True):  # all() of a generator takes 1 us more
            if declared is not None and declared != came:
                return False
        return True

    def _array(self, value: Any) -> NDArray[Any]:
        if isinstance(value, PYTHON_TYPES) and not isinstance(value, np.generic):
            return array_from_python(value, self.dtype, self.name)
        if np.ma.is_masked(value):
            raise InvalidInput(f"input {self.name!r} has masked elements; fill them with .filled()")
        try:
            array = np.asarray(value)
        except Exception as error:
            kind = type(value).__name__
            raise InvalidInput(f"input {self.name!r} is a {kind}, of which numpy makes no array: {error}") from error
        if array.dtype == object and not hasattr(value, "__array__"):
            raise InvalidInput(f"input {self.name!r} is a {type(value).__name__}; the model takes {self}")
        return array


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In the byte order of this machine; numpy's ``StringDType`` has none."""
    return dtype if dtype.kind == "T" else dtype.newbyteorder("=")


def shape_text(shape: Sequence[int | str | None] | None) -> str:
    """``shape`` as messages and tables show it: ``(batch, any, 4)``, ``(3,)``, ``()``, ``any rank``."""
    if shape is None:
        return "any rank"
    dimensions = ["any" if size is None else str(size) for size in shape]
    return f"({dimensions[0]},)" if len(dimensions) == 1 else f"({', '.join(dimensions)})"


def shapes_text(arrays: Mapping[str, NDArray[Any]]) -> str:
    """What came, for a message: ``'x' of shape (3, 4), 'y' of shape ()``."""
    return ", ".join(f"{name!r} of shape {shape_text(array.shape)}" for name, array in arrays.items())


def specs_text(specs: Mapping[str, TensorSpec]) -> str:
    """``specs`` on one line, for a message; of many optional ones, such as a model's weights, the first."""
    hidden = [spec.name for spec in specs.values() if spec.optional][_SHOWN_OPTIONAL:]
    text = ", ".join(str(spec) for name, spec in specs.items() if name not in hidden) or "nothing"
    return f"{text} and {len(hidden)} optional more" if hidden else text


def specs_of_rows(
    arrays: Mapping[str, NDArray[Any]], labels: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[TensorSpec]:
    """The specs of outputs that have one element for each row of the inputs, by an example of them."""
    return [
        TensorSpec(name, array.dtype, ("batch", *array.shape[1:]), labels=labels.get(name, ()))
        for name, array in arrays.items()
    ]


def only_input(specs: Mapping[str, TensorSpec]) -> TensorSpec | None:
    """The input that a value without a name is for: the only one that a call must have, or the only one at all."""
    required = [spec for spec in specs.values() if not spec.optional]
    candidates = required or list(specs.values())
    return candidates[0] if len(candidates) == 1 else None


def _dimensions(name: str, shape: Iterable[int | str | None] | None) -> Shape:
    if shape is None:
        return None
    if isinstance(shape, str):
        raise TypeError(f"tensor {name!r}: the shape is a tuple of dimensions, such as ({shape!r},), not text")
    dimensions = tuple(shape)
    for size in dimensions:
        if size is None or (type(size) is int and size >= 0) or (type(size) is str and is_dimension_name(size)):
            continue
        rule = "a dimension is a size, a name with a letter in it, or None for any size"
        raise ValueError(f"tensor {name!r}: {size!r} in {dimensions} is neither None nor a size nor a name; {rule}")
    return dimensions


def is_dimension_name(text: str) -> bool:
    """Whether ``text`` can be the name of a dimension: a number, or signs alone, would be taken for something else."""
    return any(character.isalpha() for character in text)


def _sizes(dimensions: Shape) -> Sizes:
    if dimensions is None:
        return None
    return tuple(None if isinstance(size, str) else size for size in dimensions)


def _labels(name: str, labels: Iterable[str], dimensions: Shape) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise TypeError(f"tensor {name!r}: labels are a list of text, not one text")
    several = tuple(labels)
    if not all(type(label) is str for label in several):
        raise TypeError(f"tensor {name!r}: the labels of classes are text, not {several!r}")
    if several and dimensions and len(dimensions) <= 2:
        classes = dimensions[-1]
        if isinstance(classes, int) and classes != len(several):
            raise ValueError(f"tensor {name!r} has {classes} classes and {len(several)} labels; give one for each")
    return several
