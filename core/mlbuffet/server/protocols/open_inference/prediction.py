"""The encoding of predictions under /v2."""

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.inference import InferenceRequest, ModelSelector
from mlbuffet.server.http.body import header
from mlbuffet.server.http.prediction import Decoded, PredictionCodec, PredictionHead
from mlbuffet.server.protocols.open_inference.outputs import NO_LABELS, labels_of_classes
from mlbuffet.server.protocols.open_inference.request_templates import RequestDecoder
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH, Parts, padding_for, take_apart
from mlbuffet.server.protocols.open_inference.responses import encode_response
from mlbuffet.tensors import Signatures
from mlbuffet.version_numbers import version_in_address

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()


class Head(PredictionHead, frozen=True, gc=False):
    """With the header ``Inference-Header-Content-Length``."""

    json_length: str | None = None


class OpenInferenceCodec(PredictionCodec[Head]):
    """Tensors as JSON, and as raw buffers behind it."""

    protocol = "v2"
    has_statistics = True

    def __init__(self) -> None:
        self._decoder = RequestDecoder()

    @override
    def selector(self, request: Request) -> ModelSelector:
        path = request.path_params
        return ModelSelector(path["model"], version_in_address(path["version"]) if "version" in path else None)

    @override
    def head(self, request: Request) -> Head:
        length = header(request, _HEADER_LENGTH)
        return Head(self.selector(request), 0 if length is None else padding_for(length), json_length=length)

    @override
    def size_to_decode(self, head: Head, body: bytes) -> int:
        return take_apart(body, head.json_length, head.padding).size_to_decode

    @override
    def decode(self, head: Head, body: bytes, signatures: Signatures) -> Decoded:
        length = head.json_length
        parts = Parts(body) if length is None else take_apart(body, length, head.padding)
        call = self._decoder.decode(parts, signatures)
        outputs = None if call.outputs is None else list(call.outputs)
        decoded = InferenceRequest(
            model=head.selector,
            inputs=call.inputs,
            signature=call.signature,
            outputs=outputs,
            parameters=call.parameters,
        )
        labels = NO_LABELS if outputs is None else labels_of_classes(call, signatures)
        return decoded, lambda result: encode_response(call, result.model, result.version, result.outputs, labels)
