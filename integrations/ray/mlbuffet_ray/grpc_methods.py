"""MLBuffet's methods of gRPC, under the names by which Ray Serve's proxy calls a deployment.

``grpc_servicer_functions: ["mlbuffet_ray.grpc_methods:add_services"]`` among the options of its proxy adds them.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from mlbuffet.grpc.service import Encoded
from mlbuffet_ray.grpc_reflection import add_reflection

METHODS = {
    "inference.GRPCInferenceService": (
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "ModelInfer",
        "ModelStreamInfer",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    ),
    "tensorflow.serving.PredictionService": ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"),
    "tensorflow.serving.ModelService": ("GetModelStatus",),
}
NOT_OFFERED = {
    "inference.GRPCInferenceService": (
        *(f"{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")),
        "TraceSetting",
        "LogSettings",
    ),
    "tensorflow.serving.PredictionService": ("PredictStreamed",),
    "tensorflow.serving.ModelService": ("HandleReloadConfigRequest",),
    "tensorflow.serving.SessionService": ("SessionRun",),
}
"""Methods that clients know, and that say why they are not here."""
PATHS = {
    name: f"/{service}/{name}"
    for methods in (METHODS, NOT_OFFERED)
    for service, names in methods.items()
    for name in names
}
"""By method: Ray Serve calls a deployment by these names alone, of which no two are the same."""
STREAMS = {"ModelStreamInfer"}
_of_one, _of_stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler


def add_services(_: object, server: grpc.aio.Server) -> None:
    """Have ``server`` take calls of the methods, whose messages pass through it as bytes, and show the methods."""
    for service in {**METHODS, **NOT_OFFERED}:
        names = [name for name, path in PATHS.items() if path == f"/{service}/{name}"]
        handlers = {name: _of_stream if name in STREAMS else _of_one for name in names}
        made = {name: handler(_passed_on) for name, handler in handlers.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, made),))
    add_reflection(server, METHODS)


def _passed_on(*_: object) -> None:
    """Ray Serve puts its own function in the place of this one."""


def _unary(path: str) -> Callable[..., Any]:
    async def call(self: Any, body: bytes, grpc_context: Any) -> Encoded:
        answer: Encoded = await self.grpc_calls.answer(path, body, grpc_context)
        return answer

    return call


def _streamed(path: str) -> Callable[..., Any]:
    async def call(self: Any, bodies: AsyncIterator[bytes], grpc_context: Any) -> AsyncIterator[Encoded]:
        async for answer in self.grpc_calls.answers(path, bodies, grpc_context):
            yield answer

    return call


GrpcMethods = type(
    "GrpcMethods",
    (),
    {name: (_streamed if name in STREAMS else _unary)(path) for name, path in PATHS.items()},
)
"""A deployment with them; its ``grpc_calls`` are `mlbuffet_ray.grpc_calls.GrpcCalls`."""
