"""What numpy arrays become on their way into onnxruntime, and its values on their way out."""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import TensorSpec, text_array, texts_in
from mlbuffet_onnx._elements import ElementType
from mlbuffet_onnx._onnxruntime import onnxruntime

Array = NDArray[Any]
InputConversion = Callable[[Array], Any]
OutputConversion = Callable[[Any], Array]


def text_input(name: str) -> InputConversion:
    """Bytes as the ``str`` that onnxruntime takes; of bytes objects it would make their repr."""

    def convert(array: Array) -> Array:
        texts = np.empty(array.size, object)
        texts[:] = texts_in(array, name)
        return texts.reshape(array.shape)

    return convert


def text_output(texts: Array) -> Array:
    """The ``str`` that onnxruntime gives, as bytes."""
    return text_array(texts.ravel().tolist(), texts.shape)


def moved_input(element: ElementType) -> InputConversion:
    """An OrtValue with the bits of an array whose dtype onnxruntime does not know from numpy."""

    def convert(array: Array) -> Any:
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(array.shape, element.number)
        content = element.pack(array)
        if content.size:
            ctypes.memmove(value.data_ptr(), content.ctypes.data, content.nbytes)
        return value

    return convert


def native_input(array: Array) -> Any:
    """An OrtValue of an ordinary array, whose memory it borrows."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"))


def moved_output(element: ElementType) -> OutputConversion:
    """The array in an OrtValue: of its bits where onnxruntime cannot make an array of it."""

    def from_bits(value: Any) -> Array:
        shape = value.shape()
        count = math.prod(shape)
        content = ctypes.string_at(value.data_ptr(), -(-count * element.bits // 8)) if count else b""
        return element.unpack(content, shape)

    if element.moved:
        return from_bits
    if element.is_text:
        return lambda value: text_output(value.numpy())
    return lambda value: np.array(value.numpy())  # numpy() only shows the memory of the OrtValue


def maps_output(spec: TensorSpec) -> OutputConversion:
    """A row for each map of a sequence, its values in the order of its keys, which is how onnxruntime sorts them."""
    columns = spec.sizes[1] if spec.sizes else None

    def convert(maps: Sequence[Mapping[Any, Any]]) -> Array:
        if not maps:
            return np.empty((0, columns or 0), spec.dtype)
        return np.array([list(row.values()) for row in maps], spec.dtype)

    return convert
