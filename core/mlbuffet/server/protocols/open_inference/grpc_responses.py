"""The messages of responses: from named arrays."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages.open_inference import ModelInferResponse
from mlbuffet.grpc.service import Encoded
from mlbuffet.inference import InferenceResult
from mlbuffet.server.protobuf_fields import field, field_head
from mlbuffet.server.protocols.open_inference.binary import buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES
from mlbuffet.server.protocols.open_inference.grpc_contents import FIELDS, PACKED
from mlbuffet.server.protocols.open_inference.grpc_requests import DecodedMessage
from mlbuffet.server.protocols.open_inference.outputs import Labels, best_classes, no_datatype, omitted
from mlbuffet.server.protocols.open_inference.requests import InferCall

_ID = ModelInferResponse.DESCRIPTOR.fields_by_name["id"].number
_RAW = ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number


def encode_message(message: DecodedMessage, labels: Labels, result: InferenceResult) -> ModelInferResponse | Encoded:
    """The answer. Raises `InvalidInput` for an output that cannot be sent as asked."""
    call, sent, left_out = message.call, result.outputs, ""
    if call.outputs is not None:
        sent = {name: _form(call, name, array, labels) for name, array in sent.items()}
    described = []
    for name, array in sent.items():
        datatype = DATATYPES.get(array.dtype)
        if datatype is not None:
            described.append((name, datatype, array.shape))
        elif call.outputs is not None:
            raise InvalidInput(no_datatype(name, array))
    if len(described) != len(sent):
        left_out = omitted(sent)
        sent = {name: sent[name] for name, _, _ in described}
    head = _head(result.model, result.version, tuple(described), left_out)
    if message.is_raw or any(datatype in BINARY_ONLY for _, datatype, _ in described):
        return Encoded(_raw_response(head, call.id, sent.values()))
    response: ModelInferResponse = ModelInferResponse.FromString(head)
    response.id = call.id or ""
    for tensor, array in zip(response.outputs, sent.values(), strict=True):
        name = FIELDS[array.dtype]
        if name in PACKED:
            tensor.contents.MergeFromString(field(PACKED[name], bytes(buffer_from_array(array))))
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
