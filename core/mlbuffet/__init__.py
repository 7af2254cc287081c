"""Load, run and serve trained models; every runtime is a plugin."""

from mlbuffet.errors import (
    AmbiguousRuntime,
    ArtifactNotFound,
    ArtifactUnreadable,
    DuplicateModel,
    DuplicateRuntime,
    IncompleteRuntime,
    InvalidConfiguration,
    InvalidHook,
    InvalidInput,
    InvalidModelName,
    InvalidOptions,
    InvalidPlace,
    LoadFailed,
    MLBuffetError,
    ModelClosed,
    ModelNotFound,
    ModelNotReady,
    NoModelLoaded,
    NoModels,
    NoRuntime,
    NotOneArtifact,
    PredictFailed,
    RemoteFailed,
    UnknownRuntime,
    UnknownSignature,
)
from mlbuffet.hookspecs import CONTRACT, hookimpl
from mlbuffet.load_context import LoadContext
from mlbuffet.loading import load, which
from mlbuffet.model import Model
from mlbuffet.parameters import ParameterSpec
from mlbuffet.request import Request
from mlbuffet.runtime_choice import RuntimeChoice
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec

__all__ = [
    "CONTRACT",
    "DEFAULT_SIGNATURE",
    "AmbiguousRuntime",
    "ArtifactNotFound",
    "ArtifactUnreadable",
    "DuplicateModel",
    "DuplicateRuntime",
    "IncompleteRuntime",
    "InvalidConfiguration",
    "InvalidHook",
    "InvalidInput",
    "InvalidModelName",
    "InvalidOptions",
    "InvalidPlace",
    "LoadContext",
    "LoadFailed",
    "MLBuffetError",
    "Model",
    "ModelClosed",
    "ModelNotFound",
    "ModelNotReady",
    "NoModelLoaded",
    "NoModels",
    "NoRuntime",
    "NotOneArtifact",
    "ParameterSpec",
    "PredictFailed",
    "RemoteFailed",
    "Request",
    "Runtime",
    "RuntimeChoice",
    "Runtimes",
    "Signature",
    "Signatures",
    "TensorSpec",
    "Tensors",
    "UnknownRuntime",
    "UnknownSignature",
    "hookimpl",
    "load",
    "which",
]
