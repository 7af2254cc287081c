"""The metadata of a model, and its configuration as Triton's clients read it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from mlbuffet.inference import ModelDescription
from mlbuffet.parameters import described_parameters
from mlbuffet.server.protocols.open_inference import answers
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES, datatype_of
from mlbuffet.tensors import Signature, Signatures, Sizes, TensorSpec


def model_metadata(model: ModelDescription) -> answers.ModelMetadata:
    """The tensors of the default signature, and all signatures as JSON text among the properties."""
    signatures = {title: _signature(signature) for title, signature in model.signatures.items()}
    shown = _default_signature(model)
    properties = answers.Properties(signatures=orjson.dumps(signatures).decode())
    if model.signatures.default is not None:
        properties["default_signature"] = model.signatures.default
    if shown.parameters:
        properties["parameters"] = orjson.dumps(described_parameters(shown.parameters)).decode()
    if shown.description:
        properties["description"] = shown.description
    if unsupported := _unsupported(model.signatures):
        properties["unsupported"] = unsupported
    return {
        "name": model.model,
        "versions": [str(number) for number in model.ready_versions],
        "platform": model.platform,
        "inputs": tensor_metadata(shown.inputs),
        "outputs": tensor_metadata(shown.outputs),
        "properties": properties,
    }


def model_config(model: ModelDescription) -> answers.ModelConfig:
    """The configuration as perf_analyzer reads it; a ``max_batch_size`` of 0 means that shapes are whole."""
    batching, signature = model.batching, _default_signature(model)
    config: answers.ModelConfig = {
        "name": model.model,
        "platform": model.platform,
        "backend": model.runtime,
        "max_batch_size": 0 if batching is None else batching.max_size,
        "input": _config_tensors(signature.inputs, of_rows=batching is not None),
        "output": _config_tensors(signature.outputs, of_rows=batching is not None),
    }
    if batching is not None:
        config["dynamic_batching"] = {
            "preferred_batch_size": batching.preferred_sizes,
            "max_queue_delay_microseconds": round(batching.max_delay_ms * 1000),
        }
    return config


def tensor_metadata(specs: Mapping[str, TensorSpec]) -> list[answers.TensorMetadata]:
    """Tensors as model metadata lists them."""
    return [_tensor(spec) for spec in specs.values()]


def _tensor(spec: TensorSpec) -> answers.TensorMetadata:
    """Parameters of the protocol are text, numbers and bools, so that a list among them is JSON text."""
    tensor = answers.TensorMetadata(name=spec.name, datatype=datatype_of(spec.dtype), shape=_dimensions(spec.sizes))
    parameters = answers.TensorParameters()
    if spec.shape != spec.sizes:
        parameters["dimensions"] = orjson.dumps(spec.shape).decode()
    if spec.optional:
        parameters["optional"] = True
    if spec.labels:
        parameters["labels"] = orjson.dumps(spec.labels).decode()
    if spec.description:
        parameters["description"] = spec.description
    if parameters:
        tensor["parameters"] = parameters
    return tensor


def _unsupported(signatures: Signatures) -> str:
    """The tensors that no request and no response can hold."""
    found = {
        f"{what} {spec.name!r} of signature {title!r} is {spec.dtype.name}": None
        for title, signature in signatures.items()
        for one in signature.variants or (signature,)
        for what, specs in (("input", one.inputs), ("output", one.outputs))
        for spec in specs.values()
        if spec.dtype not in DATATYPES
    }
    return "; ".join(found)


def _default_signature(model: ModelDescription) -> Signature:
    """The default signature; one without tensors where there is none."""
    default = model.signatures.default
    return Signature([], []) if default is None else model.signatures[default]


def _signature(signature: Signature) -> dict[str, object]:
    variants = {"variants": [_sides(variant) for variant in signature.variants]} if signature.variants else {}
    about = {"description": signature.description} if signature.description else {}
    parameters = {"parameters": described_parameters(signature.parameters)} if signature.parameters else {}
    return {"method": signature.method, **about, **_sides(signature), **variants, **parameters}


def _sides(signature: Signature) -> dict[str, object]:
    return {"inputs": tensor_metadata(signature.inputs), "outputs": tensor_metadata(signature.outputs)}


def _config_tensors(specs: Mapping[str, TensorSpec], *, of_rows: bool) -> list[answers.ConfigTensor]:
    """Tensors, without the axis of the rows where calls are batched; Triton has no empty ``dims``."""
    tensors: list[answers.ConfigTensor] = []
    for spec in specs.values():
        dims = _dimensions(spec.sizes)
        tensors.append(
            {"name": spec.name, "data_type": _config_type(spec.dtype), "dims": dims[1:] if of_rows else dims}
        )
        if spec.optional:
            tensors[-1]["optional"] = True
        if of_rows and not dims[1:]:
            tensors[-1] |= {"dims": [1], "reshape": {"shape": []}}
    return tensors


def _config_type(dtype: np.dtype[Any]) -> str:
    datatype = DATATYPES.get(dtype, "INVALID")  # as Triton's enumeration of types has it
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def _dimensions(sizes: Sizes) -> list[int]:
    """-1 is a dimension of any size; ``[-1]`` means any rank too, which the protocol cannot express."""
    return [-1] if sizes is None else [-1 if size is None else size for size in sizes]
