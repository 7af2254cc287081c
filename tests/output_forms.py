"""A runtime whose outputs have different forms in messages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import Signature, Signatures, Tensors, TensorSpec, hookimpl


class TwoForms:
    """Gives its input as FP32, FP16 and complex numbers, which the protocol lacks."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".forms"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> None: ...

    @hookimpl
    def signature(self, model: None) -> Signatures:
        outputs = [TensorSpec(name, dtype, (None,)) for name, dtype in (("a", "f4"), ("b", "f2"), ("c", "c8"))]
        return Signatures({"serving_default": Signature([TensorSpec("x", np.float32, (None,))], outputs)})

    @hookimpl
    def predict(self, model: None, signature: str, inputs: Tensors) -> Tensors:
        return {"a": inputs["x"], "b": inputs["x"].astype("f2"), "c": inputs["x"].astype("c8")}
