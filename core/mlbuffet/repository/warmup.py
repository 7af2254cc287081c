"""A model as its ``model.toml`` wants it, before it is ready: its default signature, and its first calls."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput, LoadFailed, MLBuffetError, UnknownSignature
from mlbuffet.model import Model
from mlbuffet.repository.configuration import FILE_NAME, Configuration
from mlbuffet.tensors import Signatures, TensorSpec


def prepared(model: Model, configuration: Configuration) -> Model:
    """``model`` with its default signature, warmed. Raises `LoadFailed` where it has no such signature or fails."""
    with_default_signature(model, configuration)
    if (warmup := configuration.warmup) is not None:
        try:
            signature = model.signatures.resolve(warmup.signature)
            specs = model.signatures[signature].inputs
            zeros = {name: _zeros(spec) for name, spec in specs.items() if not spec.optional}
            inputs = warmup.inputs if warmup.inputs is not None else zeros
            for _ in range(warmup.repeat):
                model.predict(inputs, signature=signature)
        except InvalidInput as error:
            raise _failed(model, f"'warmup': {error.public}", error.detail) from error
        except MLBuffetError as error:
            raise _failed(model, "its warm-up failed", str(error)) from error
    return model


def with_default_signature(model: Model, configuration: Configuration) -> Model:
    """``model`` with the default signature that is wanted. Raises `LoadFailed` where it has none of that name."""
    if (name := configuration.signature) is not None:
        if name not in model.signatures:
            raise _failed(model, f"'signature': {UnknownSignature(name, model.signatures)}")
        reason = f"{FILE_NAME} says so"
        model.signatures = Signatures(dict(model.signatures), default=name, default_reason=reason)
    return model


def _failed(model: Model, problem: str, detail: str | None = None) -> LoadFailed:
    return LoadFailed(f"{FILE_NAME}: {problem}", path=model.path, runtime=model.runtime.name, detail=detail)


def _zeros(spec: TensorSpec) -> NDArray[Any]:
    """Zeros, or empty texts; a dimension of any size is 1, so that those of one name are equal."""
    shape = [1 if size is None else size for size in spec.sizes] if spec.sizes is not None else [1]
    return np.full(shape, b"", object) if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)
