"""The inputs and outputs of a model: their names and types, and what arrays become on their way."""

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import TensorSpec
from mlbuffet_openvino._openvino import openvino

Array = NDArray[Any]

_NATIVE = ("boolean", "f64", "f32", "f16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8")
_DTYPES: dict[str, np.dtype[Any]] = {
    **{name: getattr(openvino.Type, name).to_dtype() for name in _NATIVE},
    "string": np.dtype(object),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f8e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "f8e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "f8e8m0": np.dtype(ml_dtypes.float8_e8m0fnu),
}
"""By the names of OpenVINO's types."""


def specs(ports: Sequence[Any]) -> list[TensorSpec]:
    """What ``ports`` take or give, in their order. Raises `LoadFailed` for a type that is no tensor's."""
    described: dict[str, TensorSpec] = {}
    for port in ports:
        name = port.any_name if port.any_name not in described else port.node.friendly_name
        described[name] = TensorSpec(name, _dtype(port), _shape(port), description=_bounds(port))
    return list(described.values())


def into_tensor(spec: TensorSpec, port: Any) -> Callable[[Array], Any]:
    """How an array becomes the tensor of an input: the same memory where OpenVINO can use it."""
    if spec.dtype.hasobject:
        return _text_tensor
    if port.element_type.get_type_name() in _NATIVE:
        return _shared_tensor

    def of_bits(array: Array) -> Any:
        tensor = openvino.Tensor(port.element_type, array.shape)
        tensor.data[...] = array.view(tensor.data.dtype)
        return tensor

    return of_bits


def out_of_tensor(spec: TensorSpec) -> Callable[[Array], Array]:
    """How an output of OpenVINO, which has types of numpy's own, becomes one of the type that it is declared with."""
    dtype = spec.dtype
    return lambda array: array.astype(object) if dtype.hasobject else array.view(dtype)


def _shared_tensor(array: Array) -> Any:
    return openvino.Tensor(array if array.flags.carray else np.array(array, order="C"), shared_memory=True)


def _text_tensor(array: Array) -> Any:
    if not array.size:
        return openvino.Tensor(openvino.Type.string, array.shape)
    tensor = openvino.Tensor(array.ravel().tolist())
    tensor.shape = array.shape
    return tensor


def _dtype(port: Any) -> np.dtype[Any]:
    name = port.element_type.get_type_name()
    if name not in _DTYPES:
        raise LoadFailed(
            f"its input or output {port.any_name!r} is of type {name}, which is packed; convert it to another type "
            "with openvino.preprocess, and save the model again"
        )
    return _DTYPES[name]


def _shape(port: Any) -> tuple[int | None, ...]:
    return tuple(size.get_length() if size.is_static else None for size in port.partial_shape)


def _bounds(port: Any) -> str:
    """The limits of sizes that are not quite free."""
    free = [size for size in port.partial_shape if size.is_dynamic]
    is_limited = any(size.min_length > 0 or size.max_length >= 0 for size in free)
    return f"of shape {port.partial_shape.to_string()}" if is_limited else ""
