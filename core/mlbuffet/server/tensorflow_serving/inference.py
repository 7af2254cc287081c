"""The body of a request to the body of its answer, by way of a model."""

from mlbuffet.model import Model
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


def predict(model: Model, body: bytes) -> bytes:
    """Run ``model`` on rows or columns; the answer has the same form."""
    call = decode_predict(body, model.signatures)
    outputs = model.predict(call.inputs, signature=call.signature, any_shape=True)
    return encode_rows(outputs) if call.in_rows else encode_columns(outputs)


def classify(model: Model, body: bytes) -> bytes:
    """The classes of examples, with their scores."""
    call = decode_examples(body, model.signatures)
    wanted = outputs_of_classifier(model.signatures[call.signature], call.signature)
    outputs = model.predict({INPUT: call.examples}, signature=call.signature, outputs=wanted, any_shape=True)
    return encode_classes(outputs, len(call.examples))


def regress(model: Model, body: bytes) -> bytes:
    """The values of examples."""
    call = decode_examples(body, model.signatures)
    wanted = outputs_of_regressor(model.signatures[call.signature], call.signature)
    outputs = model.predict({INPUT: call.examples}, signature=call.signature, outputs=wanted, any_shape=True)
    return encode_regressions(outputs, len(call.examples))
