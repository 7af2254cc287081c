"""The messages of predictions: requests to named arrays, and named arrays to responses."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mlbuffet.conversion import array_from_numbers, kind_of
from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.grpc.messages.open_inference import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from mlbuffet.grpc.prediction import Decoded, MessageCodec
from mlbuffet.grpc.service import Encoded
from mlbuffet.inference import InferenceRequest, InferenceResult, InferenceService, ModelSelector
from mlbuffet.server.protobuf_fields import field, field_head
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer, buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES, DTYPES
from mlbuffet.server.protocols.open_inference.outputs import (
    Labels,
    best_classes,
    labels_of_classes,
    no_datatype,
    omitted,
)
from mlbuffet.server.protocols.open_inference.requests import (
    InferCall,
    InferRequest,
    RequestInput,
    RequestOutput,
    call_of,
    checked_dtype,
    refuse_shared_memory,
)
from mlbuffet.tensors import Signatures
from mlbuffet.version_numbers import version_in_address

_OF_64_BITS = 8
_ID = ModelInferResponse.DESCRIPTOR.fields_by_name["id"].number
_RAW = ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number
_NOT_CHECKED = frozenset(DTYPES) - {"BYTES", "BOOL"}
"""Datatypes whose raw contents are taken as they are."""


def _contents_field(dtype: np.dtype[Any]) -> str | None:
    """The field of `InferTensorContents` for the elements of ``dtype``; ``None`` for one that is raw only."""
    match dtype.kind, kind_of(dtype):
        case "O", _:
            return "bytes_contents"
        case "b", _:
            return "bool_contents"
        case _, "f":
            return {"FP32": "fp32_contents", "FP64": "fp64_contents"}.get(DATATYPES[dtype])
    sign = "uint" if dtype.kind == "u" or dtype.name.startswith("uint") else "int"
    return f"{sign}64_contents" if dtype.itemsize == _OF_64_BITS else f"{sign}_contents"


_FIELDS = {dtype: name for dtype in DATATYPES if (name := _contents_field(dtype)) is not None}
_PACKED = {
    name: InferTensorContents.DESCRIPTOR.fields_by_name[name].number
    for name in ("bool_contents", "fp32_contents", "fp64_contents")
}
"""Fields whose elements are in a message as they are in memory, which is faster than one by one."""


class _InferMessage(NamedTuple):
    """A decoded request, and in which form it wants its answer."""

    call: InferCall
    is_raw: bool


class OpenInferenceMessages(MessageCodec):
    """Tensors as typed and as raw contents; the answer is raw where the request was, or where it has to be."""

    has_statistics = True

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    @override
    def selector(self, message: ModelInferRequest) -> ModelSelector:
        return selector_of(message.model_name, message.model_version)

    @override
    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        return label_not_found(self._service, selector) if selector.label is not None else error

    @override
    def size_to_decode(self, message: ModelInferRequest) -> int:
        if message.raw_input_contents and _NOT_CHECKED.issuperset(tensor.datatype for tensor in message.inputs):
            return 0
        size: int = message.ByteSize()
        return size

    @override
    def decode(self, message: ModelInferRequest, selector: ModelSelector, signatures: Signatures) -> Decoded:
        decoded = _decoded(message)
        call = decoded.call
        request = InferenceRequest(
            model=selector,
            inputs=call.inputs,
            signature=call.signature,
            outputs=None if call.outputs is None else list(call.outputs),
            parameters=call.parameters,
        )
        labels = labels_of_classes(call, signatures)
        return request, lambda result: _response(decoded, result, labels)


def selector_of(model: str, version: str) -> ModelSelector:
    """The version that a message means: by number, by label, or the default if it is empty. Raises `InvalidInput`."""
    if not version:
        return ModelSelector(model)
    if version.isascii() and version.isdigit():
        return ModelSelector(model, version_in_address(version))
    return ModelSelector(model, label=version)


def label_not_found(service: InferenceService, selector: ModelSelector) -> Exception:
    """The error for a label that no version has. Raises `ModelNotFound` where there is no such model."""
    numbers = ", ".join(str(one.version) for one in service.versions(selector.model))
    return InvalidInput(
        f"no version of the model {selector.model!r} has the label {selector.label!r}; there are the versions {numbers}"
    )


def parameters_of(parameters: Mapping[str, InferParameter]) -> dict[str, Any]:
    """Parameters as Python values; those without a value are left out."""
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in parameters.items())
    return {name: getattr(value, choice) for name, value, choice in chosen if choice is not None}


def _decoded(message: ModelInferRequest) -> _InferMessage:
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
    return _InferMessage(call_of(request, arrays), not is_typed)


def _typed(tensor: ModelInferRequest.InferInputTensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array of typed contents."""
    name, shape = tensor.name, tuple(tensor.shape)
    wanted = _FIELDS.get(dtype)
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
    if wanted in _PACKED and elements:
        content = tensor.contents.SerializeToString()  # fields that are not known come behind the others
        begin = len(field_head(_PACKED[wanted], len(elements) * dtype.itemsize))
        return np.frombuffer(content, dtype.newbyteorder("<"), len(elements), begin).astype(dtype).reshape(shape)
    return array_from_numbers(list(elements), dtype, name, shape).reshape(shape)


def _response(message: _InferMessage, result: InferenceResult, labels: Labels) -> ModelInferResponse | Encoded:
    """The answer. Raises `InvalidInput` for an output that cannot be sent as asked."""
    call = message.call
    outputs = {name: _form(call, name, array, labels) for name, array in result.outputs.items()}
    sent, left_out = {name: array for name, array in outputs.items() if array.dtype in DATATYPES}, ""
    if len(sent) != len(outputs):
        if call.outputs is not None:
            raise InvalidInput(next(no_datatype(*output) for output in outputs.items() if output[0] not in sent))
        left_out = omitted(outputs)
    described = tuple([(name, DATATYPES[array.dtype], array.shape) for name, array in sent.items()])
    head = _head(result.model, result.version, described, left_out)
    if message.is_raw or any(datatype in BINARY_ONLY for _, datatype, _ in described):
        return Encoded(_raw_response(head, call.id, sent.values()))
    response: ModelInferResponse = ModelInferResponse.FromString(head)
    response.id = call.id or ""
    for tensor, array in zip(response.outputs, sent.values(), strict=True):
        name = _FIELDS[array.dtype]
        if name in _PACKED:
            tensor.contents.MergeFromString(field(_PACKED[name], bytes(buffer_from_array(array))))
        else:
            getattr(tensor.contents, name).extend(array.ravel().tolist())
    return response


@lru_cache(maxsize=1024)
def _head(model: str, version: int, outputs: tuple[tuple[str, str, tuple[int, ...]], ...], left_out: str) -> bytes:
    """A response without id and contents, which is mostly the same for the requests of a client."""
    response = ModelInferResponse(model_name=model, model_version=str(version))
    for name, datatype, shape in outputs:
        response.outputs.add(name=name, datatype=datatype, shape=shape)
    if left_out:
        response.parameters["omitted"].string_param = left_out
    encoded: bytes = response.SerializeToString()
    return encoded


def _raw_response(head: bytes, request_id: str | None, arrays: Iterable[NDArray[Any]]) -> bytes:
    """The response with raw contents, joined from pieces: its class would copy each of them twice."""
    pieces: list[bytes | memoryview] = [head]
    if request_id:
        pieces.append(field(_ID, request_id.encode()))
    for array in arrays:
        buffer = buffer_from_array(array)
        pieces += (field_head(_RAW, len(buffer)), buffer)
    return b"".join(pieces)


def _form(call: InferCall, name: str, array: NDArray[Any], labels: Labels) -> NDArray[Any]:
    """An output as the call wants it: as it is, or its best classes."""
    classes = 0 if call.outputs is None else call.outputs[name].classes
    return best_classes(array, classes, name, labels.get(name, ())) if classes else array
