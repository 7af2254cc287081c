"""The values of a result with names, and the dtypes that they have outside of PyTorch."""

from typing import Any

import numpy as np
from torch.utils import _pytree as pytree

from mlbuffet.errors import LoadFailed
from mlbuffet_torch._arrays import dtype_of
from mlbuffet_torch._torch import torch


def leaves(value: Any) -> list[Any]:
    """The tensors, numbers, texts, and lists of numbers or texts in ``value``, in order."""
    return [value] if isinstance(value, torch.Tensor) else pytree.tree_leaves(value, _is_list_of_values)


def named_leaves(value: Any) -> list[tuple[str, Any]]:
    """`leaves`, named after the keys that lead there, and by numbers where there are no keys."""
    named: dict[str, Any] = {}
    for path, leaf in pytree.tree_flatten_with_path(value, _is_list_of_values)[0]:
        parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path] or ["0"]
        name = "_".join(parts if path and not isinstance(path[0], pytree.SequenceKey) else ["output", *parts])
        named[name if name not in named else f"{name}_{len(named)}"] = leaf
    return list(named.items())


def outer_dtype(name: str, dtype: torch.dtype) -> np.dtype[Any]:
    """The dtype of the tensor ``name`` for clients. Raises `LoadFailed` where there is none."""
    known = dtype_of(dtype)
    if known is None:
        raise LoadFailed(f"{name!r} is of {dtype}, which no client can send or read; convert it in forward")
    return known


def output_dtype(name: str, value: Any) -> np.dtype[Any]:
    """The dtype of an output from a ``value`` of it. Raises `LoadFailed` where clients cannot read it."""
    if not isinstance(value, torch.Tensor):
        array = np.asarray(value)
        return np.dtype(object) if array.dtype.kind == "U" else array.dtype
    if value.layout != torch.strided or value.is_quantized:
        raise LoadFailed(f"output {name!r} is sparse or quantized; make it dense in forward (to_dense, dequantize)")
    return outer_dtype(name, value.dtype)


def _is_list_of_values(value: Any) -> bool:
    return type(value) is list and not any(isinstance(item, torch.Tensor | list | tuple | dict) for item in value)
