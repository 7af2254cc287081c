"""A runtime that is told which calls it answers, and which models it loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import LoadContext, ParameterSpec, Request, Signature, Signatures, Tensors, TensorSpec, hookimpl


class Asked:
    """Keeps what it is told of its calls and loads; it takes a parameter, and computes only what is wanted."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.contexts: list[LoadContext] = []

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """An .asked file."""
        return path.suffix == ".asked"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> object:
        self.contexts.append(context)
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x, y, z = (TensorSpec(name, np.float32, (None,)) for name in "xyz")
        parameters = {"offset": ParameterSpec(float, default=2.0, minimum=0, description="What is added.")}
        return Signatures({"serving_default": Signature([x], [y, z], parameters=parameters)})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors, request: Request) -> Tensors:
        self.requests.append(request)
        offset = np.float32(request.parameters["offset"])
        whole = {"y": inputs["x"] / 2 + offset, "z": inputs["x"] * 2}
        return {name: whole[name] for name in request.outputs}
