"""The encoding of predictions under /api."""

from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta
from starlette.requests import Request
from typing_extensions import override

from mlbuffet.errors import InvalidInput
from mlbuffet.inference import InferenceRequest, ModelSelector
from mlbuffet.json_tensors.text import decode, encode_array
from mlbuffet.server.http.body import header
from mlbuffet.server.http.prediction import Answer, Decoded, PredictionCodec, PredictionHead
from mlbuffet.server.protocols.management.answers import status
from mlbuffet.server.protocols.management.images import FILE_FIELDS, image_inputs
from mlbuffet.server.protocols.management.multipart import Form, is_form
from mlbuffet.tensors import Signature, Signatures, Tensors, TensorSpec, only_input
from mlbuffet.version_numbers import version_in_address

DEFAULT = "default"


class PredictionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is predicted from."""

    values: Any
    parameters: Annotated[dict[str, Any] | None, Meta(description="Those that the signature declares, by name.")] = None


class Head(PredictionHead, frozen=True, gc=False):
    """With the header ``Content-Type``."""

    content_type: str = ""


class ValuesCodec(PredictionCodec[Head]):
    """Values, or an image in a form."""

    protocol = "api"

    @override
    def selector(self, request: Request) -> ModelSelector:
        """``iris``, ``iris:default`` and ``iris:2``. Raises `InvalidInput`."""
        name, colon, version = request.path_params["tag"].partition(":")
        if not colon or version == DEFAULT:
            return ModelSelector(name)
        return ModelSelector(name, version_in_address(version, f", or {DEFAULT!r}"))

    @override
    def head(self, request: Request) -> Head:
        content_type = header(request, b"content-type") or ""
        # an image is larger than its file
        return Head(self.selector(request), in_thread=is_form(content_type), content_type=content_type)

    @override
    def decode(self, head: Head, body: bytes, signatures: Signatures) -> Decoded:
        signature = signatures[signatures.resolve(None)]
        if is_form(head.content_type):
            image = bytearray()
            form = Form(head.content_type, FILE_FIELDS, image.extend)
            form.feed(body)
            form.end()
            inputs = image_inputs(bytes(image), signature)
            parameters = decode(form.text("parameters").encode() or b"{}", dict[str, Any])
        else:
            asked = decode(body, PredictionRequest)
            values, parameters = asked.values, asked.parameters or {}
            _, inputs = signature.first_that(lambda variant: variant.check_inputs(_by_name(values, variant)))
        decoded = InferenceRequest(model=head.selector, inputs=inputs, parameters=parameters)
        return decoded, lambda result: Answer(_encode_values(result.outputs))


def _by_name(values: Any, signature: Signature) -> dict[str, Any]:
    specs = signature.inputs
    if isinstance(values, dict):
        return {name: _batched(value, specs[name]) if name in specs else value for name, value in values.items()}
    spec = only_input(specs)
    if spec is None:
        names = ", ".join(map(repr, specs))
        raise InvalidInput(f"the model has {len(specs)} inputs: give 'values' as an object with {names or 'nothing'}")
    return {spec.name: _batched(values, spec)}


def _encode_values(outputs: Tensors) -> bytes:
    """The response. Raises `InvalidInput` for bytes that are not UTF-8."""
    texts: dict[str, orjson.Fragment] = {}
    for name, array in outputs.items():
        try:
            texts[name] = orjson.Fragment(encode_array(array))
        except UnicodeDecodeError:
            text = f"output {name!r} holds bytes that are not UTF-8, which JSON cannot hold; ask /v2"
            raise InvalidInput(text) from None
    values = next(iter(texts.values())) if len(texts) == 1 else texts
    return orjson.dumps({"http_status": status(200, "the model's prediction"), "values": values})


def _batched(value: Any, spec: TensorSpec) -> Any:
    """``value`` as a batch of one, where it has exactly one dimension less than the model takes."""
    return [value] if spec.shape is not None and _rank(value) == len(spec.shape) - 1 else value


def _rank(value: Any) -> int:
    rank = 0
    while isinstance(value, list):
        rank += 1
        value = value[0] if value else None
    return rank
