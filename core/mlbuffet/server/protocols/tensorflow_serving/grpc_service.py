"""TensorFlow Serving over gRPC: the methods of its PredictionService and ModelService, for every runtime."""

from google.protobuf.json_format import ParseDict

from mlbuffet.errors import InvalidInput, ModelNotFound
from mlbuffet.grpc.messages import tensorflow_serving as messages
from mlbuffet.grpc.prediction import Prediction
from mlbuffet.grpc.service import Call, Message, Method, Service, reader
from mlbuffet.inference import InferenceService, ModelDescription
from mlbuffet.server.protocols.tensorflow_serving.grpc_prediction import (
    Classify,
    Predict,
    Regress,
    ServingMessages,
    selector_of,
)
from mlbuffet.server.protocols.tensorflow_serving.metadata import model_metadata, model_status
from mlbuffet.server.protocols.tensorflow_serving.selection import find_versions, unknown_label
from mlbuffet.server.settings import ServerSettings

PROTOCOL = "tf-grpc"
SIGNATURES = "signature_def"
"""The only field of metadata."""
_ROOT = "tensorflow.serving."
_METHODS = "tensorflow/serving/"


def tensorflow_serving(service: InferenceService, settings: ServerSettings) -> list[Service]:
    """Its services."""
    prediction = _PredictionService(service, settings)
    return [
        Service(
            f"{_ROOT}PredictionService",
            PROTOCOL,
            prediction.offered(),
            {"PredictStreamed": "no model here gives its outputs in pieces: call Predict"},
        ),
        Service(
            f"{_ROOT}ModelService",
            PROTOCOL,
            {"GetModelStatus": Method(reader(messages.GetModelStatusRequest), _ModelService(service).status)},
            {"HandleReloadConfigRequest": "this server reads no configuration file: change its folder (--watch)"},
        ),
        Service(
            f"{_ROOT}SessionService",
            PROTOCOL,
            {},
            {"SessionRun": "this server calls signatures, and not the tensors of a graph: call Predict"},
        ),
    ]


class _ModelService:
    def __init__(self, service: InferenceService) -> None:
        self._service = service

    async def status(self, call: Call, request: messages.GetModelStatusRequest) -> Message:
        selector = selector_of(request.model_spec)
        found = find_versions(self._service, selector) or [self._service.status(selector)]  # which says what there is
        return ParseDict(model_status(found), messages.GetModelStatusResponse())


class _PredictionService:
    def __init__(self, service: InferenceService, settings: ServerSettings) -> None:
        self._service = service

        def prediction(codec: ServingMessages) -> Prediction:
            return Prediction(service, codec, settings.request_timeout)

        self._predict = prediction(Predict(settings.max_body))
        self._classify = prediction(Classify())
        self._regress = prediction(Regress())

    def offered(self) -> dict[str, Method]:
        return {
            "Predict": Method(reader(messages.PredictRequest), self._predict.answer),
            "Classify": Method(reader(messages.ClassificationRequest), self._classify.answer),
            "Regress": Method(reader(messages.RegressionRequest), self._regress.answer),
            "MultiInference": Method(reader(messages.MultiInferenceRequest), self._multi_inference),
            "GetModelMetadata": Method(reader(messages.GetModelMetadataRequest), self._metadata),
        }

    async def _multi_inference(self, call: Call, request: messages.MultiInferenceRequest) -> Message:
        """One task after the other, all of one model, on the same examples."""
        if not request.tasks:
            raise InvalidInput("the request has no tasks; it has one or more")
        if len({task.model_spec.name for task in request.tasks}) > 1:
            raise InvalidInput("the tasks of one request are for one model; these name several")
        results = [await self._result(call, task, request.input) for task in request.tasks]
        return messages.MultiInferenceResponse(results=results)

    async def _result(self, call: Call, task: messages.InferenceTask, examples: messages.Input) -> Message:
        match task.method_name.removeprefix(_METHODS):
            case "classify":
                asked = messages.ClassificationRequest(model_spec=task.model_spec, input=examples)
                classes = await self._classify.answer(call, asked)
                return messages.InferenceResult(model_spec=classes.model_spec, classification_result=classes.result)
            case "regress":
                wanted = messages.RegressionRequest(model_spec=task.model_spec, input=examples)
                values = await self._regress.answer(call, wanted)
                return messages.InferenceResult(model_spec=values.model_spec, regression_result=values.result)
        raise InvalidInput(
            f"the method of a task is {task.method_name!r}; it is '{_METHODS}classify' or '{_METHODS}regress'"
        )

    async def _metadata(self, call: Call, request: messages.GetModelMetadataRequest) -> Message:
        if list(request.metadata_field) != [SIGNATURES]:
            raise InvalidInput(f"the metadata_field is {list(request.metadata_field)}; it is ['{SIGNATURES}']")
        model = await self._description(request)
        response = messages.GetModelMetadataResponse(
            model_spec=messages.ModelSpec(name=model.model, version={"value": model.version})
        )
        signatures = model_metadata(model)["metadata"]["signature_def"]
        response.metadata[SIGNATURES].Pack(ParseDict(signatures, messages.SignatureDefMap()))
        return response

    async def _description(self, request: messages.GetModelMetadataRequest) -> ModelDescription:
        selector = selector_of(request.model_spec)
        try:
            return await self._service.describe(selector)
        except ModelNotFound:
            if selector.label is not None:
                raise unknown_label(selector.label) from None
            raise
