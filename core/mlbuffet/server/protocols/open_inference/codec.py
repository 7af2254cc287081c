"""A prediction under /v2: what a request asks, and how its answer is written."""

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.inference import InferenceRequest, InferenceResult, ModelSelector
from mlbuffet.server.http.body import header
from mlbuffet.server.http.prediction import Answer, Decoded, PredictionCodec
from mlbuffet.server.protocols.open_inference.request_templates import RequestDecoder
from mlbuffet.server.protocols.open_inference.requests import HEADER_LENGTH, lead_of, take_apart
from mlbuffet.server.protocols.open_inference.responses import encode_response
from mlbuffet.tensors import Signatures
from mlbuffet.version_numbers import version_in_address

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
_OCTETS = b"content-type", b"application/octet-stream"


class OpenInferenceCodec(PredictionCodec):
    """Tensors as JSON, and as raw buffers behind it."""

    protocol = "v2"
    has_statistics = True

    def __init__(self) -> None:
        self._decoder = RequestDecoder()

    @override
    def selector(self, request: Request) -> ModelSelector:
        asked = request.path_params
        return ModelSelector(asked["model"], version_in_address(asked["version"]) if "version" in asked else None)

    @override
    def padding(self, request: Request) -> int:
        return lead_of(header(request, _HEADER_LENGTH))

    @override
    def size_to_decode(self, request: Request, body: bytes, padding: int) -> int:
        return take_apart(body, header(request, _HEADER_LENGTH), padding).size_to_decode

    @override
    def decode(
        self, request: Request, body: bytes, padding: int, selector: ModelSelector, signatures: Signatures
    ) -> Decoded:
        parts = take_apart(body, header(request, _HEADER_LENGTH), padding)
        call = self._decoder.decode(parts, signatures)

        def encode(result: InferenceResult) -> Answer:
            response = encode_response(call, result.model, result.version, result.outputs)
            if response.header_length is None:
                return Answer(response.body)
            return Answer(response.body, (_OCTETS, (_HEADER_LENGTH, b"%d" % response.header_length)))

        asked = InferenceRequest(
            model=selector, inputs=call.inputs, signature=call.signature, outputs=call.output_names
        )
        return asked, encode
