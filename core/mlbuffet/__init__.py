"""Load, run and serve trained models; every runtime is a plugin."""

from mlbuffet.errors import (
    AmbiguousRuntime,
    ArtifactNotFound,
    DuplicateModel,
    DuplicateRuntime,
    IncompleteRuntime,
    InvalidInput,
    InvalidModelName,
    InvalidOptions,
    LoadFailed,
    MLBuffetError,
    ModelClosed,
    ModelNotFound,
    ModelNotReady,
    NoModelLoaded,
    NoModels,
    NoRuntime,
    PredictFailed,
    UnknownRuntime,
    UnknownSignature,
)
from mlbuffet.hookspecs import hookimpl
from mlbuffet.model import Model, load
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec

__all__ = [
    "DEFAULT_SIGNATURE",
    "AmbiguousRuntime",
    "ArtifactNotFound",
    "DuplicateModel",
    "DuplicateRuntime",
    "IncompleteRuntime",
    "InvalidInput",
    "InvalidModelName",
    "InvalidOptions",
    "LoadFailed",
    "MLBuffetError",
    "Model",
    "ModelClosed",
    "ModelNotFound",
    "ModelNotReady",
    "NoModelLoaded",
    "NoModels",
    "NoRuntime",
    "PredictFailed",
    "Runtime",
    "Runtimes",
    "Signature",
    "Signatures",
    "TensorSpec",
    "Tensors",
    "UnknownRuntime",
    "UnknownSignature",
    "hookimpl",
    "load",
]
