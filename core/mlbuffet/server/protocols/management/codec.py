"""The encoding of predictions under /api."""

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.inference import InferenceRequest, ModelSelector
from mlbuffet.inference.offload import LARGE
from mlbuffet.server.http.body import header
from mlbuffet.server.http.prediction import Answer, Decoded, PredictionCodec
from mlbuffet.server.protocols.management.addresses import name_and_version
from mlbuffet.server.protocols.management.images import FILE_FIELDS, image_inputs
from mlbuffet.server.protocols.management.multipart import Form, is_form
from mlbuffet.server.protocols.management.values import decode_values, default_signature, encode_values
from mlbuffet.tensors import Signatures, Tensors


class ValuesCodec(PredictionCodec):
    """Values, or an image in a form."""

    protocol = "api"

    @override
    def selector(self, request: Request) -> ModelSelector:
        return ModelSelector(*name_and_version(request))

    @override
    def size_to_decode(self, request: Request, body: bytes, padding: int) -> int:
        return LARGE if is_form(_content_type(request)) else len(body)  # an image is larger than its file

    @override
    def decode(
        self, request: Request, body: bytes, padding: int, selector: ModelSelector, signatures: Signatures
    ) -> Decoded:
        signature = default_signature(signatures)
        content_type = _content_type(request)
        if is_form(content_type):
            image = bytearray()
            form = Form(content_type, FILE_FIELDS, image.extend)
            form.feed(body)
            form.end()
            inputs: Tensors = image_inputs(bytes(image), signature)
        else:
            inputs = decode_values(body, signature)
        asked = InferenceRequest(model=selector, inputs=inputs)
        return asked, lambda result: Answer(encode_values(result.outputs))


def _content_type(request: Request) -> str:
    return header(request, b"content-type") or ""
