"""The messages of predictions: requests to named arrays, and named arrays to responses."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray
from typing_extensions import override

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.grpc.messages.tensorflow_core import TensorProto
from mlbuffet.grpc.messages.tensorflow_serving import (
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
    Input,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
    RegressionResult,
)
from mlbuffet.grpc.prediction import Decoded, MessageCodec
from mlbuffet.grpc.service import Message
from mlbuffet.inference import InferenceRequest, InferenceResult, ModelSelector
from mlbuffet.server.protocols.tensorflow_serving.classify_regress import (
    INPUT,
    classes_of,
    outputs_of_classifier,
    outputs_of_regressor,
    regressions_of,
)
from mlbuffet.server.protocols.tensorflow_serving.examples import with_context
from mlbuffet.server.protocols.tensorflow_serving.grpc_tensors import array_of, tensor_of
from mlbuffet.server.protocols.tensorflow_serving.requests import named_signature
from mlbuffet.server.protocols.tensorflow_serving.selection import unknown_label
from mlbuffet.tensors import Signature, Signatures, Tensors

ExamplesRequest: TypeAlias = ClassificationRequest | RegressionRequest


def selector_of(spec: ModelSpec) -> ModelSelector:
    """The version that a message means; version 0 is the default, as over HTTP. Raises `InvalidInput`."""
    if not spec.name:
        raise InvalidInput("Missing ModelSpec: its name is that of the model")
    match spec.WhichOneof("version_choice"):
        case "version_label":
            return ModelSelector(spec.name, label=spec.version_label)
        case "version":
            number = spec.version.value
            if number < 0:
                raise InvalidInput(f"the version is {number}; versions are whole numbers from 0")
            return ModelSelector(spec.name, number, or_default=not number)
    return ModelSelector(spec.name)


def spec_of(result: InferenceResult, signature: str) -> ModelSpec:
    """Which version answered, and its signature."""
    return ModelSpec(name=result.model, version={"value": result.version}, signature_name=signature)


class ServingMessages(MessageCodec):
    """Requests with a ``model_spec``."""

    @override
    def selector(self, message: Message) -> ModelSelector:
        return selector_of(message.model_spec)

    @override
    def not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        return error if selector.label is None else unknown_label(selector.label)

    @override
    def size_to_decode(self, message: Message) -> int:
        size: int = message.ByteSize()
        return size


class Predict(ServingMessages):
    """Tensors by name; those that are filled up have ``max_bytes`` at most, all of a request together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    @override
    def decode(self, message: PredictRequest, selector: ModelSelector, signatures: Signatures) -> Decoded:
        signature = named_signature(message.model_spec.signature_name, signatures)
        request = InferenceRequest(
            model=selector,
            inputs=self._inputs(message.inputs),
            signature=signature,
            outputs=list(message.output_filter) or None,
            any_shape=True,
        )

        def encode(result: InferenceResult) -> PredictResponse:
            response = PredictResponse(model_spec=spec_of(result, signature))
            for name, array in result.outputs.items():
                response.outputs[name].CopyFrom(tensor_of(array, name))
            return response

        return request, encode

    def _inputs(self, tensors: Mapping[str, TensorProto]) -> dict[str, NDArray[Any]]:
        left, arrays = self._max_bytes, dict[str, NDArray[Any]]()
        for name, tensor in tensors.items():
            arrays[name] = array = array_of(tensor, name, left)
            if array.nbytes > tensor.ByteSize():  # it was filled up
                left -= array.nbytes
        return arrays


class OfExamples(ServingMessages):
    """Serialized examples, for signatures of one method."""

    @abstractmethod
    def outputs(self, signature: Signature, name: str) -> list[str]:
        """The outputs to ask for. Raises `InvalidInput` where the signature called ``name`` has another method."""

    @abstractmethod
    def response(self, outputs: Tensors, count: int, spec: ModelSpec) -> Message:
        """The response for so many examples. Raises `InvalidInput`."""

    @override
    def decode(self, message: ExamplesRequest, selector: ModelSelector, signatures: Signatures) -> Decoded:
        signature = named_signature(message.model_spec.signature_name, signatures)
        outputs = self.outputs(signatures[signature], signature)
        examples = examples_of(message.input)
        request = InferenceRequest(
            model=selector,
            inputs={INPUT: examples},
            signature=signature,
            outputs=outputs,
            any_shape=True,
        )
        return request, lambda result: self.response(result.outputs, len(examples), spec_of(result, signature))


class Classify(OfExamples):
    """The classes of examples, with their scores."""

    @override
    def outputs(self, signature: Signature, name: str) -> list[str]:
        return outputs_of_classifier(signature, name)

    @override
    def response(self, outputs: Tensors, count: int, spec: ModelSpec) -> ClassificationResponse:
        result = ClassificationResult()
        for labels, scores in classes_of(outputs, count):
            classes = result.classifications.add().classes
            for label, score in zip(labels, scores.tolist(), strict=True):
                classes.add(label=label, score=score)
        return ClassificationResponse(result=result, model_spec=spec)


class Regress(OfExamples):
    """The values of examples."""

    @override
    def outputs(self, signature: Signature, name: str) -> list[str]:
        return outputs_of_regressor(signature, name)

    @override
    def response(self, outputs: Tensors, count: int, spec: ModelSpec) -> RegressionResponse:
        values = regressions_of(outputs, count).tolist()
        result = RegressionResult(regressions=[{"value": value} for value in values])
        return RegressionResponse(result=result, model_spec=spec)


def examples_of(message: Input) -> NDArray[Any]:
    """The serialized examples, shape [count], each with the context, if there is one, before it."""
    kind = message.WhichOneof("kind")
    examples = [] if kind is None else getattr(message, kind).examples
    if not examples:
        raise InvalidInput("Input is empty")
    has_context = kind == "example_list_with_context"
    context = message.example_list_with_context.context.SerializeToString() if has_context else b""
    return with_context(context, [example.SerializeToString() for example in examples])
