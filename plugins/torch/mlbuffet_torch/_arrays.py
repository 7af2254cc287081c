"""Numpy arrays as tensors of PyTorch, and what PyTorch computes as arrays."""

from collections.abc import Callable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mlbuffet.tensors import text_array
from mlbuffet_torch._torch import torch

_USER_DEFINED = 256  # from here on are the numbers of dtypes that numpy does not bring (NPY_USERDEF)
_INTEGERS = {1: (np.uint8, torch.uint8), 2: (np.int16, torch.int16)}
"""By their bytes, as what small floats pass between the two libraries."""


@cache
def dtype_of(dtype: torch.dtype) -> np.dtype[Any] | None:
    """The dtype that numpy or ml_dtypes has for ``dtype``, ``None`` where they have none."""
    name = str(dtype).removeprefix("torch.")
    known = getattr(np, name, None) or getattr(ml_dtypes, name, None)
    return None if known is None else np.dtype(known)


def tensor_of(array: NDArray[Any]) -> torch.Tensor:
    """A tensor on the memory of ``array``, or on that of a copy where PyTorch needs plain memory."""
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = array.copy(order="C")
    if array.dtype.num < _USER_DEFINED:
        return torch.from_numpy(array)
    like, _ = _INTEGERS[array.dtype.itemsize]
    return torch.from_numpy(array.view(like)).view(getattr(torch, array.dtype.name))


def reader(device: torch.device, *, is_written: bool = False) -> Callable[[NDArray[Any]], torch.Tensor]:
    """What makes an array a tensor on ``device``; in memory of its own if the model writes into it."""
    if device.type == "cpu" and not is_written:
        return tensor_of
    return lambda array: tensor_of(array).to(device, copy=True, memory_format=torch.contiguous_format)


def array_of(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """``value`` of a model, a tensor, a number, text, or a list of these, as an array with memory of its own."""
    if isinstance(value, torch.Tensor):
        return _array_of_tensor(value)
    if dtype.kind != "O":
        return np.array(value, dtype)
    return text_array(value, (len(value),)) if isinstance(value, list) else text_array([value], ())


def _array_of_tensor(tensor: torch.Tensor) -> NDArray[Any]:
    # two are the tensor itself and what is asked here; more are an input, a weight or another output
    is_shared = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) > 2
    dtype = dtype_of(tensor.dtype)
    small = dtype if dtype is not None and dtype.num >= _USER_DEFINED else None
    array: NDArray[Any] = (tensor.view(_INTEGERS[tensor.itemsize][1]) if small else tensor).numpy(force=True)
    array = array.copy() if is_shared else array
    return array.view(small) if small else array
