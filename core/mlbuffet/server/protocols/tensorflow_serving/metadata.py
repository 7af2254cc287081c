"""The states of the versions of a model, and its signatures."""

from collections.abc import Iterable, Mapping
from typing import Literal

from mlbuffet.inference import ModelDescription, State, VersionStatus
from mlbuffet.server.protocols.tensorflow_serving import answers
from mlbuffet.server.protocols.tensorflow_serving.datatypes import datatype_of
from mlbuffet.tensors import Shape, Signature, TensorSpec

_STATES: dict[State, Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]] = {
    State.LOADING: "LOADING",
    State.READY: "AVAILABLE",
    State.FAILED: "END",
    State.UNLOADING: "UNLOADING",
    State.UNAVAILABLE: "START",
}


def model_status(versions: Iterable[VersionStatus]) -> answers.ModelStatus:
    """The states of ``versions``; one that failed has ended, with an error."""
    return {"model_version_status": [_version_status(version) for version in versions]}


def model_metadata(model: ModelDescription) -> answers.ServingMetadata:
    """Every signature with its tensors; 64-bit integers are text, as protobuf writes them."""
    definitions = {title: _signature_def(signature) for title, signature in model.signatures.items()}
    return {
        "model_spec": {"name": model.model, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _version_status(version: VersionStatus) -> answers.VersionStatus:
    failed = version.state is State.FAILED
    return {
        "version": str(version.version),
        "state": "END" if version.retired and version.state is State.UNAVAILABLE else _STATES[version.state],
        "status": {"error_code": "INTERNAL" if failed else "OK", "error_message": version.reason if failed else ""},
    }


def _signature_def(signature: Signature) -> answers.SignatureDef:
    return {
        "inputs": _tensor_infos(signature.inputs),
        "outputs": _tensor_infos(signature.outputs),
        "method_name": f"tensorflow/serving/{signature.method}",
        "defaults": {},
    }


def _tensor_infos(specs: Mapping[str, TensorSpec]) -> dict[str, answers.TensorInfo]:
    return {
        name: {
            "dtype": datatype_of(spec.dtype),
            "tensor_shape": _tensor_shape(spec.shape),
            "name": f"{name}:0" if spec.wire_name is None else spec.wire_name,
        }
        for name, spec in specs.items()
    }


def _tensor_shape(shape: Shape) -> answers.TensorShape:
    return {"dim": [_dimension(size) for size in shape or ()], "unknown_rank": shape is None}


def _dimension(size: int | str | None) -> answers.Dimension:
    return {"size": str(size) if isinstance(size, int) else "-1", "name": size if isinstance(size, str) else ""}
