"""A loaded model: what is compiled for each size of its inputs, and its predictions."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from mlbuffet.errors import InvalidInput, InvalidOptions, LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signatures, Tensors
from mlbuffet_jax._exported import device_for, read
from mlbuffet_jax._options import Options


class JaxModel:
    """The handle of the exported function in ``content``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, content: bytes, options: Options) -> None:
        self._exported, signature = read(content)
        self._inputs, self._outputs = signature.inputs, signature.outputs
        self._device = device_for(self._exported.platforms, options.device)
        kept = max(options.max_compiled, len(options.compile_sizes))
        self._compiled = lru_cache(kept)(self._compile)
        self._compile_ahead(options.compile_sizes)
        self.signatures = Signatures({DEFAULT_SIGNATURE: signature})

    def predict(self, inputs: Tensors) -> Tensors:
        """The results of the function. Raises `InvalidInput` for sizes that it was not exported for."""
        arrays = [inputs[name] for name in self._inputs]
        with jax.enable_x64(True):  # noqa: FBT003 in this thread alone: else 64 bits become 32
            run = self._compiled(*[array.shape for array in arrays])
            return {name: np.array(value) for name, value in zip(self._outputs, run(*arrays), strict=True)}

    def _compile(self, *shapes: tuple[int, ...]) -> Any:
        """The function for inputs of these ``shapes``. Raises `InvalidInput` where it was not exported for them."""
        specs = self._inputs.values()
        arguments = [jax.ShapeDtypeStruct(shape, spec.dtype) for shape, spec in zip(shapes, specs, strict=True)]
        function = jax.jit(lambda *arrays: self._call(arrays), in_shardings=SingleDeviceSharding(self._device))
        try:
            function.lower(*arguments).compile()  # which a call then finds
        except ValueError as error:
            taken = zip(self._inputs, self._exported.in_avals, strict=True)
            listed = ", ".join(f"{name} {array.shape}" for name, array in taken)
            problem = f"the model takes {listed} with sizes from 1, and these do not fit"
            raise InvalidInput(problem, detail=str(error)) from error
        return function

    def _call(self, arrays: Sequence[Any]) -> Any:
        positional, named = jax.tree.unflatten(self._exported.in_tree, arrays)
        return jax.tree.leaves(self._exported.call(*positional, **named))

    def _compile_ahead(self, asked: Sequence[Mapping[Any, int]]) -> None:
        """Compile for the sizes that are ``asked``, or the only ones. Raises `InvalidOptions` or `LoadFailed`."""
        shapes = [spec.shape or () for spec in self._inputs.values()]
        free = {size or "an expression" for shape in shapes for size in shape if not isinstance(size, int)}
        for sizes in asked or ([] if free else [{}]):
            if sizes.keys() != free:
                raise InvalidOptions(f"compile_sizes has {_listed(sizes)}; the symbolic dimensions are {_listed(free)}")
            try:
                with jax.enable_x64(True):  # noqa: FBT003
                    self._compiled(*[tuple(map(sizes.get, shape, shape)) for shape in shapes])
            except InvalidInput as error:
                raise LoadFailed(
                    "JAX cannot compile it for this device and these sizes", detail=error.detail
                ) from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
