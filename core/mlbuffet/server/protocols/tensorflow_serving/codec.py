"""A prediction under /v1: what a request asks, and how its answer is written."""

from collections.abc import Callable, Sequence
from functools import partial
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
from mlbuffet.tensors import Signatures, Tensors

Verb: TypeAlias = Callable[[bytes, ModelSelector, Signatures], Decoded]
"""Reads the body of a request with one verb. Raises `InvalidInput`."""


class ServingCodec(PredictionCodec):
    """The requests with one verb."""

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
    """A call with rows or columns; the answer has the same form."""
    asked = decode_predict(body, signatures)
    encode = encode_rows if asked.in_rows else encode_columns
    return _decoded(selector, asked.inputs, asked.signature, None, encode)


def classify(body: bytes, selector: ModelSelector, signatures: Signatures) -> Decoded:
    """A call for the classes of examples, with their scores."""
    asked = decode_examples(body, signatures)
    wanted = outputs_of_classifier(signatures[asked.signature], asked.signature)
    encode = partial(encode_classes, count=len(asked.examples))
    return _decoded(selector, {INPUT: asked.examples}, asked.signature, wanted, encode)


def regress(body: bytes, selector: ModelSelector, signatures: Signatures) -> Decoded:
    """A call for the values of examples."""
    asked = decode_examples(body, signatures)
    wanted = outputs_of_regressor(signatures[asked.signature], asked.signature)
    encode = partial(encode_regressions, count=len(asked.examples))
    return _decoded(selector, {INPUT: asked.examples}, asked.signature, wanted, encode)


def _decoded(
    selector: ModelSelector,
    inputs: Tensors,
    signature: str | None,
    outputs: Sequence[str] | None,
    encode: Callable[[Tensors], bytes],
) -> Decoded:
    asked = InferenceRequest(model=selector, inputs=inputs, signature=signature, outputs=outputs, any_shape=True)
    return asked, lambda result: Answer(encode(result.outputs))
