"""The encoding of predictions under /v1."""

from collections.abc import Callable
from typing import TypeAlias

from starlette.requests import Request
from typing_extensions import override

from mlbuffet.errors import ModelNotFound
from mlbuffet.inference import InferenceRequest, ModelSelector
from mlbuffet.server.http.prediction import Answer, Decoded, PredictionCodec
from mlbuffet.server.protocols.tensorflow_serving.addresses import no_servable, selector_of
from mlbuffet.server.protocols.tensorflow_serving.classify_regress import (
    INPUT,
    encode_classes,
    encode_regressions,
    outputs_of_classifier,
    outputs_of_regressor,
)
from mlbuffet.server.protocols.tensorflow_serving.examples import decode_examples
from mlbuffet.server.protocols.tensorflow_serving.requests import decode_predict
from mlbuffet.server.protocols.tensorflow_serving.responses import encode_columns, encode_rows
from mlbuffet.tensors import Signature, Signatures, Tensors

Verb: TypeAlias = Callable[[bytes, ModelSelector, Signatures], Decoded]
"""Decodes the body of a request with one verb. Raises `InvalidInput`."""


class ServingCodec(PredictionCodec):
    """The encoding of requests with one verb."""

    protocol = "v1"

    def __init__(self, verb: Verb) -> None:
        self._verb = verb

    @override
    def selector(self, request: Request) -> ModelSelector:
        return selector_of(request)

    @override
    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        return no_servable(selector)

    @override
    def decode(
        self, request: Request, body: bytes, padding: int, selector: ModelSelector, signatures: Signatures
    ) -> Decoded:
        return self._verb(body, selector, signatures)


def predict(body: bytes, selector: ModelSelector, signatures: Signatures) -> Decoded:
    """A call with rows or columns; the response has the same form."""
    call = decode_predict(body, signatures)
    encode = encode_rows if call.in_rows else encode_columns
    decoded = InferenceRequest(model=selector, inputs=call.inputs, signature=call.signature, any_shape=True)
    return decoded, lambda result: Answer(encode(result.outputs))


def _of_examples(outputs_of: Callable[[Signature, str], list[str]], encode: Callable[[Tensors, int], bytes]) -> Verb:
    """A call with examples, for the outputs that ``outputs_of`` names."""

    def decode(body: bytes, selector: ModelSelector, signatures: Signatures) -> Decoded:
        name, examples = decode_examples(body, signatures)
        outputs = outputs_of(signatures[name], name)
        inputs = {INPUT: examples}
        decoded = InferenceRequest(model=selector, inputs=inputs, signature=name, outputs=outputs, any_shape=True)
        return decoded, lambda result: Answer(encode(result.outputs, len(examples)))

    return decode


classify = _of_examples(outputs_of_classifier, encode_classes)
regress = _of_examples(outputs_of_regressor, encode_regressions)
