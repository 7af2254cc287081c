"""The Open Inference Protocol over gRPC: the methods of ``inference.GRPCInferenceService``.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from collections.abc import Callable, Mapping

from mlbuffet.errors import InvalidInput, ModelNotFound, ModelNotReady
from mlbuffet.grpc.messages import open_inference as messages
from mlbuffet.grpc.prediction import Prediction
from mlbuffet.grpc.service import Call, Encoded, Message, Method, Service, StreamMethod, authorization, reader
from mlbuffet.inference import InferenceService, ModelDescription, ModelSelector, State, VersionStatus
from mlbuffet.server.change_rules import check_caller, check_changeable, why_forwarded
from mlbuffet.server.protobuf_fields import field
from mlbuffet.server.protocols.open_inference import answers
from mlbuffet.server.protocols.open_inference.grpc_prediction import OpenInferenceMessages
from mlbuffet.server.protocols.open_inference.grpc_requests import selector_of
from mlbuffet.server.protocols.open_inference.grpc_templates import Request
from mlbuffet.server.protocols.open_inference.metadata import model_config, model_metadata, server_metadata
from mlbuffet.server.protocols.open_inference.model_repository import check_change_parameters, index_entry
from mlbuffet.server.protocols.open_inference.statistics import model_stats
from mlbuffet.server.settings import ServerSettings
from mlbuffet.telemetry.version_statistics import VersionCounts

NAME = "inference.GRPCInferenceService"
_NO_SHARED_MEMORY = "this server reads and writes no shared memory: send tensors in the messages"
_NOT_OFFERED = {
    **{
        f"{kind}SharedMemory{verb}": _NO_SHARED_MEMORY
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    },
    "TraceSetting": "this server records no traces of its own",
    "LogSettings": "what this server logs is set where it is started (mlbuffet serve --help)",
}
_INFER_RESPONSE = messages.ModelStreamInferResponse.DESCRIPTOR.fields_by_name["infer_response"].number
_DATA_TYPES = frozenset(messages.ModelInput.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_name)


def open_inference(service: InferenceService, settings: ServerSettings, *, is_ready: Callable[[], bool]) -> Service:
    """The service; ``is_ready`` is whether the server is to get requests."""
    return Service(NAME, "grpc", _Methods(service, settings, is_ready).offered(), _NOT_OFFERED)


class _Methods:
    def __init__(self, service: InferenceService, settings: ServerSettings, is_ready: Callable[[], bool]) -> None:
        self._service = service
        self._settings = settings
        self._is_ready = is_ready
        self._codec = OpenInferenceMessages(service)
        self._prediction = Prediction(service, self._codec, settings.request_timeout)

    def offered(self) -> Mapping[str, Method | StreamMethod]:
        read, infer = self._codec.read, self._prediction.answer
        return {
            "ServerLive": Method(reader(messages.ServerLiveRequest), self._live, is_open=True),
            "ServerReady": Method(reader(messages.ServerReadyRequest), self._ready, is_open=True),
            "ServerMetadata": Method(reader(messages.ServerMetadataRequest), self._server_metadata),
            "ModelReady": Method(reader(messages.ModelReadyRequest), self._model_ready),
            "ModelMetadata": Method(reader(messages.ModelMetadataRequest), self._model_metadata),
            "ModelConfig": Method(reader(messages.ModelConfigRequest), self._model_config),
            "ModelStatistics": Method(reader(messages.ModelStatisticsRequest), self._statistics),
            "ModelInfer": Method(read, infer),
            "ModelStreamInfer": StreamMethod(read, self._stream_infer, _stream_refusal),
            "RepositoryIndex": Method(reader(messages.RepositoryIndexRequest), self._index),
            "RepositoryModelLoad": Method(reader(messages.RepositoryModelLoadRequest), self._load),
            "RepositoryModelUnload": Method(reader(messages.RepositoryModelUnloadRequest), self._unload),
        }

    async def _live(self, call: Call, request: Message) -> Message:
        return messages.ServerLiveResponse(live=True)

    async def _ready(self, call: Call, request: Message) -> Message:
        return messages.ServerReadyResponse(ready=self._is_ready())

    async def _server_metadata(self, call: Call, request: Message) -> Message:
        return messages.ServerMetadataResponse(**server_metadata())

    async def _model_ready(self, call: Call, request: messages.ModelReadyRequest) -> Message:
        """As over HTTP, a model is not loaded for this question."""
        selector = selector_of(request.name, request.version)
        try:
            self._found(selector, self._service.check_ready)
        except ModelNotReady:
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    async def _model_metadata(self, call: Call, request: messages.ModelMetadataRequest) -> Message:
        facts = model_metadata(await self._description(request.name, request.version))
        return messages.ModelMetadataResponse(  # without properties and parameters, for which there is no field
            name=facts["name"],
            versions=facts["versions"],
            platform=facts["platform"],
            inputs=[_described(tensor) for tensor in facts["inputs"]],
            outputs=[_described(tensor) for tensor in facts["outputs"]],
        )

    async def _model_config(self, call: Call, request: messages.ModelConfigRequest) -> Message:
        facts = model_config(await self._description(request.name, request.version))
        tensors = {side: [_enumerated(tensor) for tensor in facts[side]] for side in ("input", "output")}
        return messages.ModelConfigResponse(config={**facts, **tensors})

    async def _statistics(self, call: Call, request: messages.ModelStatisticsRequest) -> Message:
        if request.version:
            selector = selector_of(request.name, request.version)
            versions = [self._found(selector, self._service.status)]
        else:
            versions = list(self._service.versions(request.name or None))
        counted, none = await self._service.statistics(), VersionCounts()
        entries = [model_stats(*one[:2], counted.get(one[:2], none)) for one in versions]
        return messages.ModelStatisticsResponse(model_stats=entries)

    async def _stream_infer(self, call: Call, request: Request) -> Message:
        answer = await self._prediction.answer(call, request)
        return Encoded(field(_INFER_RESPONSE, answer.SerializeToString()))

    async def _index(self, call: Call, request: messages.RepositoryIndexRequest) -> Message:
        entries = [
            index_entry(one) for one in self._service.versions() if one.state is State.READY or not request.ready
        ]
        return messages.RepositoryIndexResponse(models=entries)

    async def _load(self, call: Call, request: messages.RepositoryModelLoadRequest) -> Message:
        name = self._changeable_model(call, request)
        await self._service.load(name)
        return messages.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def _unload(self, call: Call, request: messages.RepositoryModelUnloadRequest) -> Message:
        name = self._changeable_model(call, request)
        await self._service.unload(name)
        return messages.RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)

    async def _description(self, name: str, version: str) -> ModelDescription:
        selector = selector_of(name, version)
        try:
            return await self._service.describe(selector)
        except ModelNotFound as error:
            raise self._not_found(selector, error) from None

    def _found(self, selector: ModelSelector, find: Callable[[ModelSelector], VersionStatus]) -> VersionStatus:
        try:
            return find(selector)
        except ModelNotFound as error:
            raise self._not_found(selector, error) from None

    def _not_found(self, selector: ModelSelector, error: ModelNotFound) -> Exception:
        return self._codec.not_found(selector, error)

    def _changeable_model(self, call: Call, request: Message) -> str:
        """The model that a request may change. Raises `NotAuthenticated`, `NotPermitted` or `InvalidInput`."""
        check_changeable(self._settings)
        names = [name.encode() for name, _ in call.metadata]
        check_caller(self._settings, authorization(call.metadata), lambda: why_forwarded(names))
        check_change_parameters(request.parameters)
        name: str = request.model_name or request.repository_name  # field 1, where KServe's clients have the model
        return name


def _described(tensor: answers.TensorMetadata) -> Mapping[str, object]:
    return {name: fact for name, fact in tensor.items() if name != "parameters"}


def _enumerated(tensor: answers.ConfigTensor) -> Mapping[str, object]:
    """``tensor`` with a datatype that Triton's enumeration has."""
    return tensor if tensor["data_type"] in _DATA_TYPES else {**tensor, "data_type": "TYPE_INVALID"}


def _stream_refusal(body: bytes, text: str) -> Message:
    try:
        request = reader(messages.ModelInferRequest)(body)
    except InvalidInput:
        request = messages.ModelInferRequest()
    return messages.ModelStreamInferResponse(
        error_message=text, infer_response=messages.ModelInferResponse(model_name=request.model_name, id=request.id)
    )
