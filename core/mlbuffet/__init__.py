"""Load, run and serve trained models; every runtime is a plugin."""

from typing import TYPE_CHECKING, Any

from mlbuffet.errors import (
    AmbiguousRuntime,
    ArtifactNotFound,
    ArtifactUnreadable,
    DeadlineExceeded,
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
    Overloaded,
    PredictFailed,
    ProcessCrashed,
    RemoteFailed,
    RepositoryClosed,
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

if TYPE_CHECKING:
    from mlbuffet.inference.repository import Repository
    from mlbuffet.inference.service import VersionStatus
    from mlbuffet.server.embedding import create_app
else:

    def __getattr__(name: str) -> Any:
        """What only some programs use, and brings in asyncio or an HTTP framework: imported when it is first used."""
        from importlib import import_module

        homes = {
            "Repository": "mlbuffet.inference.repository",
            "VersionStatus": "mlbuffet.inference.service",
            "create_app": "mlbuffet.server.embedding",
        }
        if name not in homes:
            raise AttributeError(f"module 'mlbuffet' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(homes[name]), name)
        return value


__all__ = [
    "CONTRACT",
    "DEFAULT_SIGNATURE",
    "AmbiguousRuntime",
    "ArtifactNotFound",
    "ArtifactUnreadable",
    "DeadlineExceeded",
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
    "Overloaded",
    "ParameterSpec",
    "PredictFailed",
    "ProcessCrashed",
    "RemoteFailed",
    "Repository",
    "RepositoryClosed",
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
    "VersionStatus",
    "create_app",
    "hookimpl",
    "load",
    "which",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
