"""What the body of a request asks of a model, and how its answer is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mlbuffet.scheduling import Call
from mlbuffet.server.tensorflow_serving.classify_regress import (
    INPUT,
    encode_classes,
    encode_regressions,
    outputs_of_classifier,
    outputs_of_regressor,
)
from mlbuffet.server.tensorflow_serving.examples import decode_examples
from mlbuffet.server.tensorflow_serving.requests import decode_predict
from mlbuffet.server.tensorflow_serving.responses import encode_columns, encode_rows
from mlbuffet.tensors import Signatures, Tensors


@dataclass(frozen=True, slots=True)
class Inference:
    """A call of a model, and the body of the answer for its outputs."""

    call: Call
    encode: Callable[[Tensors], bytes]


def predict(body: bytes, signatures: Signatures) -> Inference:
    """A call with rows or columns; the answer has the same form."""
    asked = decode_predict(body, signatures)
    call = Call(asked.inputs, asked.signature, any_shape=True)
    return Inference(call, encode_rows if asked.in_rows else encode_columns)


def classify(body: bytes, signatures: Signatures) -> Inference:
    """A call for the classes of examples, with their scores."""
    asked = decode_examples(body, signatures)
    wanted = outputs_of_classifier(signatures[asked.signature], asked.signature)
    call = Call({INPUT: asked.examples}, asked.signature, wanted, any_shape=True)
    return Inference(call, partial(encode_classes, count=len(asked.examples)))


def regress(body: bytes, signatures: Signatures) -> Inference:
    """A call for the values of examples."""
    asked = decode_examples(body, signatures)
    wanted = outputs_of_regressor(signatures[asked.signature], asked.signature)
    call = Call({INPUT: asked.examples}, asked.signature, wanted, any_shape=True)
    return Inference(call, partial(encode_regressions, count=len(asked.examples)))
