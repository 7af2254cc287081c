"""What a method is given for the tensors of a call, and the tensors of what it returns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import texts_in
from mlbuffet_python import TensorType


def given(name: str, kind: TensorType, array: NDArray[Any]) -> NDArray[Any]:
    """The input as the method sees it: text as ``str``; the others cannot be written to, for they are the caller's."""
    if kind.is_text:
        return _objects(texts_in(array, name), array.shape)
    view = array.view()
    view.flags.writeable = False
    return view


def returned(name: str, kind: TensorType, value: Any) -> NDArray[Any]:
    """The output as a new array of its declared dtype. Raises ``TypeError`` where that would be another value."""
    if kind.dtype.kind == "O":
        objects = np.asarray(value, object)
        elements = [one.encode() if isinstance(one, str) else one for one in _elements(objects)]
        return _objects(elements, objects.shape)
    array = np.asarray(value)
    if array.dtype != kind.dtype:
        return _cast(name, array, kind.dtype)
    return array.copy()  # it may be an input, or one that the model uses again for the next call


def _cast(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    same_kind = np.can_cast(array.dtype, dtype, "same_kind") or not array.size
    cast = array.astype(dtype) if same_kind else array  # a copy
    if not same_kind or (dtype.kind in "iu" and not np.array_equal(cast, array)):
        raise TypeError(f"its output {name!r} is {array.dtype}, and its annotation says {dtype}")
    return cast


def _elements(array: NDArray[Any]) -> list[Any]:
    """In one list, which is quicker than the array itself."""
    elements: list[Any] = (array if array.ndim == 1 else array.ravel()).tolist()
    return elements


def _objects(elements: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array if len(shape) == 1 else array.reshape(shape)
