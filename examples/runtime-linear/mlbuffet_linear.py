"""Linear models for MLBuffet: an .npz file with the arrays weights [features, outputs] and bias [outputs]."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from mlbuffet import LoadFailed, Signature, Signatures, Tensors, TensorSpec, hookimpl


@dataclass(frozen=True)
class LinearOptions:
    """What may be chosen when a model is loaded."""

    softmax: bool = False


@dataclass(frozen=True)
class LinearModel:
    """What ``load`` returns and the other hooks are given."""

    weights: np.ndarray
    bias: np.ndarray
    softmax: bool


class LinearRuntime:
    """The runtime; the entry point of the package names it."""

    options = LinearOptions
    client_options = frozenset({"softmax"})

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A linear model: an .npz file with the arrays 'weights' and 'bias'"""
        return path.suffix == ".npz" and path.is_file() and is_zipfile(path)

    @hookimpl
    def load(self, path: Path, options: LinearOptions) -> LinearModel:
        """Read the arrays, and refuse those that are no linear model."""
        with np.load(path, allow_pickle=False) as arrays:
            weights, bias = arrays["weights"], arrays["bias"]
        if weights.dtype not in (np.float32, np.float64) or weights.ndim != 2 or bias.shape != weights.shape[1:]:
            found = f"weights {weights.dtype} {weights.shape}, bias {bias.shape}"
            raise LoadFailed(f"it holds {found}; save float32 or float64 [features, outputs] and [outputs]")
        return LinearModel(weights, bias.astype(weights.dtype), options.softmax)

    @hookimpl
    def signature(self, model: LinearModel) -> Signatures:
        """One function: ``x`` [batch, features] to ``y`` [batch, outputs], of the weights' dtype."""
        features, outputs = model.weights.shape
        x = TensorSpec("x", model.weights.dtype, ("batch", features))
        y = TensorSpec("y", model.weights.dtype, ("batch", outputs))
        return Signatures({"serving_default": Signature(inputs=[x], outputs=[y])})

    @hookimpl
    def predict(self, model: LinearModel, inputs: Tensors) -> Tensors:
        """Multiply, add, and make probabilities of it if that was asked for."""
        y = inputs["x"] @ model.weights + model.bias
        if model.softmax:
            y = np.exp(y - y.max(axis=1, keepdims=True))
            y /= y.sum(axis=1, keepdims=True)
        return {"y": y}
