"""The encoding of predictions under /v1."""

import re
from collections.abc import Callable
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from typing_extensions import override

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.inference import InferenceRequest, ModelSelector
from mlbuffet.server.http.prediction import Answer, Decoded, PredictionCodec, PredictionHead
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
from mlbuffet.server.protocols.tensorflow_serving.selection import unknown_label
from mlbuffet.tensors import Signature, Signatures, Tensors
from mlbuffet.version_numbers import version_number

Verb: TypeAlias = Callable[[bytes, ModelSelector, Signatures], Decoded]
"""Decodes the body of a request with one verb. Raises `InvalidInput`."""


def malformed(request: Request) -> HTTPException:
    """The error for what is not an address of the protocol."""
    return HTTPException(400, f"Malformed request: {request.method} {request.url.path}")


class ServingCodec(PredictionCodec[PredictionHead]):
    """The encoding of requests with one verb."""

    protocol = "v1"

    def __init__(self, verb: Verb) -> None:
        self._verb = verb

    @override
    def selector(self, request: Request) -> ModelSelector:
        """See `PredictionCodec`; ovmsclient sends version 0 for the default."""
        path = request.path_params
        name = path["model"]
        if ":" in name:
            raise malformed(request)
        if "label" in path:
            return ModelSelector(name, label=path["label"])
        if "version" not in path:
            return ModelSelector(name)
        if re.fullmatch("[0-9]+", path["version"]) is None:
            raise malformed(request)
        number = version_number(path["version"])
        if number is None:
            raise InvalidInput(f"Failed to convert version: {path['version'].lstrip('0')} to numeric.")
        return ModelSelector(name, number, or_default=not number)

    @override
    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        if selector.label is not None:
            return unknown_label(selector.label)
        latest = selector.version is None or selector.or_default
        wanted = f"Latest({selector.model})" if latest else f"Specific({selector.model}, {selector.version})"
        return HTTPException(404, f"Servable not found for request: {wanted}")

    @override
    def head(self, request: Request) -> PredictionHead:
        return PredictionHead(self.selector(request))

    @override
    def decode(self, head: PredictionHead, body: bytes, signatures: Signatures) -> Decoded:
        return self._verb(body, head.selector, signatures)


def predict(body: bytes, selector: ModelSelector, signatures: Signatures) -> Decoded:
    """A call with rows or columns; the response has the same form."""
    call = decode_predict(body, signatures)
    encode = encode_rows if call.in_rows else encode_columns
    decoded = InferenceRequest(
        model=selector, inputs=call.inputs, signature=call.signature, any_shape=True, parameters=call.parameters
    )
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
