"""Predictions of the Open Inference Protocol over gRPC."""

from functools import partial

from typing_extensions import override

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.grpc.prediction import Decoded, MessageCodec
from mlbuffet.inference import InferenceRequest, InferenceService, ModelSelector
from mlbuffet.server.protocols.open_inference.grpc_requests import CHECKED, decode_message, selector_of
from mlbuffet.server.protocols.open_inference.grpc_responses import encode_message
from mlbuffet.server.protocols.open_inference.grpc_templates import Request, RequestReader, TemplatedRequest
from mlbuffet.server.protocols.open_inference.outputs import NO_LABELS, labels_of_classes
from mlbuffet.tensors import Signatures


class OpenInferenceMessages(MessageCodec):
    """Tensors as typed and as raw contents; the answer is raw where the request was, or where it has to be."""

    has_statistics = True

    def __init__(self, service: InferenceService) -> None:
        self._service = service
        self.read = RequestReader().read

    @override
    def selector(self, message: Request) -> ModelSelector:
        if isinstance(message, TemplatedRequest):
            return message.template.selector
        return selector_of(message.model_name, message.model_version)

    @override
    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        return label_not_found(self._service, selector) if selector.label is not None else error

    @override
    def size_to_decode(self, message: Request) -> int:
        if isinstance(message, TemplatedRequest):
            return 0
        if message.raw_input_contents and CHECKED.isdisjoint(tensor.datatype for tensor in message.inputs):
            return 0
        size: int = message.ByteSize()
        return size

    @override
    def decode(self, message: Request, selector: ModelSelector, signatures: Signatures) -> Decoded:
        decoded = message.decoded() if isinstance(message, TemplatedRequest) else decode_message(message)
        call = decoded.call
        request = InferenceRequest(
            model=selector,
            inputs=call.inputs,
            signature=call.signature,
            outputs=None if call.outputs is None else list(call.outputs),
            parameters=call.parameters,
        )
        labels = NO_LABELS if call.outputs is None else labels_of_classes(call, signatures)
        return request, partial(encode_message, decoded, labels)


def label_not_found(service: InferenceService, selector: ModelSelector) -> Exception:
    """The error for a label that no version has. Raises `ModelNotFound` where there is no such model."""
    numbers = ", ".join(str(one.version) for one in service.versions(selector.model))
    return InvalidInput(
        f"no version of the model {selector.model!r} has the label {selector.label!r}; there are the versions {numbers}"
    )
