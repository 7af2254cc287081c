"""A model that calls others of its repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import LoadContext, Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.hookspecs import OtherModel
from small_runtimes import small_runtimes


class Pipeline:
    """Its file names other models, each of which gets what the one before it gives."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".pipe"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any], context: LoadContext) -> list[OtherModel]:
        return [context.models[name] for name in path.read_text().split()]

    @hookimpl
    def signature(self, model: list[OtherModel]) -> Signatures:
        x, y = (TensorSpec(name, np.float32, (None,)) for name in "xy")
        return Signatures({"serving_default": Signature([x], [y])})

    @hookimpl
    def predict(self, model: list[OtherModel], signature: str, inputs: Tensors) -> Tensors:
        x = inputs["x"]
        for other in model:
            x = other.predict({"x": x})["y"]
        return {"y": x.copy()}


def pipeline_runtimes() -> Runtimes:
    """The small runtimes, and pipelines."""
    runtimes = small_runtimes()
    runtimes.register(Pipeline(), name="pipeline")
    return runtimes
