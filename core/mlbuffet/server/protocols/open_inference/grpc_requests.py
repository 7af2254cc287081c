"""The messages of requests: to named arrays."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlbuffet.conversion import array_from_numbers
from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages.open_inference import InferParameter, ModelInferRequest
from mlbuffet.inference import ModelSelector
from mlbuffet.server.protobuf_fields import field_head
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer
from mlbuffet.server.protocols.open_inference.grpc_contents import FIELDS, PACKED
from mlbuffet.server.protocols.open_inference.requests import (
    InferCall,
    InferRequest,
    RequestInput,
    RequestOutput,
    call_of,
    checked_dtype,
    refuse_shared_memory,
)
from mlbuffet.version_numbers import version_in_address

CHECKED = frozenset({"BYTES", "BOOL"})
"""Datatypes whose raw contents are read one by one; all others are taken as they are."""


class DecodedMessage(msgspec.Struct, frozen=True, gc=False):
    """A decoded request, and in which form it wants its answer."""

    call: InferCall
    is_raw: bool


def selector_of(model: str, version: str) -> ModelSelector:
    """The version that a message means: by number, by label, or the default if it is empty. Raises `InvalidInput`."""
    if not version:
        return ModelSelector(model)
    if version.isascii() and version.isdigit():
        return ModelSelector(model, version_in_address(version))
    return ModelSelector(model, label=version)


def parameters_of(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    """Parameters as Python values; those without a value are left out."""
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: getattr(value, choice) for name, value, choice in chosen if choice is not None}


def decode_message(message: ModelInferRequest) -> DecodedMessage:
    """What ``message`` asks for. Raises `InvalidInput`."""
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidInput(
            f"the request has {len(message.inputs)} inputs and {len(raw)} raw_input_contents: there is one for each "
            "input, in the same order, or none"
        )
    request = InferRequest(
        inputs=[],
        id=message.id or None,
        parameters=parameters_of(message.parameters) if message.parameters else None,
        outputs=[
            RequestOutput(output.name, parameters_of(output.parameters) if output.parameters else None)
            for output in message.outputs
        ],
    )
    arrays: dict[str, NDArray[Any]] = {}
    for position, tensor in enumerate(message.inputs):
        name, shape = tensor.name, list(tensor.shape)
        if name in arrays:
            raise InvalidInput(f"input {name!r} is given twice")
        described = RequestInput(name, shape, tensor.datatype)
        dtype = checked_dtype(described)
        if tensor.parameters:
            refuse_shared_memory(name, parameters_of(tensor.parameters))
        if not raw:
            arrays[name] = _typed(tensor, dtype)
        elif tensor.HasField("contents"):
            raise InvalidInput(f"input {name!r} has contents beside raw_input_contents; send one of them")
        else:
            arrays[name] = array_from_buffer(memoryview(raw[position]), dtype, shape, name)
    is_typed = bool(message.inputs) and not raw
    return DecodedMessage(call_of(request, arrays), not is_typed)


def _typed(tensor: ModelInferRequest.InferInputTensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array of typed contents."""
    name, shape = tensor.name, tuple(tensor.shape)
    wanted = FIELDS.get(dtype)
    if wanted is None:
        raise InvalidInput(f"input {name!r}: {tensor.datatype} has no typed contents, use raw_input_contents")
    for given, _ in tensor.contents.ListFields():
        if given.name != wanted:
            raise InvalidInput(f"input {name!r} has {given.name}; {tensor.datatype} has {wanted}")
    elements: Sequence[Any] = getattr(tensor.contents, wanted)
    if len(elements) != prod(shape):
        raise InvalidInput(f"input {name!r} has {len(elements)} elements; its shape {list(shape)} holds {prod(shape)}")
    if dtype.kind == "O":
        array = np.empty(len(elements), object)
        array[:] = list(elements)
        return array.reshape(shape)
    if wanted in PACKED and elements:
        content = tensor.contents.SerializeToString()  # fields that are not known come behind the others
        begin = len(field_head(PACKED[wanted], len(elements) * dtype.itemsize))
        return np.frombuffer(content, dtype.newbyteorder("<"), len(elements), begin).astype(dtype).reshape(shape)
    return array_from_numbers(list(elements), dtype, name, shape).reshape(shape)
