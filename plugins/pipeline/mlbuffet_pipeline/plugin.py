"""The runtime of pipelines."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlbuffet.hookspecs import HandleHooks, LoadContext, Request, hookimpl
from mlbuffet.tensors import Tensors
from mlbuffet_pipeline._folder import is_pipeline, unservable

if TYPE_CHECKING:
    from mlbuffet_pipeline._model import Pipeline


class Options(msgspec.Struct, frozen=True):
    """There is nothing to choose."""


class PipelineRuntime(HandleHooks):
    """Runs pipelines of other models."""

    options = Options
    concurrent_loads = True
    output_shapes_may_differ = True  # what the steps give was looked at when they gave it

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A pipeline: a folder with a pipeline.toml that names steps"""
        return is_pipeline(path)

    @hookimpl
    def explain(self, path: Path) -> str | None:
        """A pipeline.toml without its folder, and one without steps."""
        return unservable(path)

    @hookimpl
    def load(self, path: Path, context: LoadContext) -> "Pipeline":
        """The steps, once their models are loaded and fit."""
        from mlbuffet_pipeline._model import Pipeline

        return Pipeline(path, context)

    @hookimpl
    def predict(self, model: "Pipeline", signature: str, inputs: Tensors, request: Request) -> Tensors:  # noqa: ARG002
        """The outputs that are wanted."""
        return model.predict(inputs, request)
