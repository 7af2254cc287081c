"""What clients that know no message of ours are shown by Ray Serve's server of gRPC."""

from collections.abc import Iterable
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from mlbuffet.grpc.messages import open_inference, tensorflow_serving  # noqa: F401  their descriptors are in the pool
from mlbuffet.grpc.messages.pool import POOL


def add_reflection(server: Any, services: Iterable[str]) -> None:
    """Have ``server`` show ``services`` with their messages, for which Ray Serve's ``enable_reflection`` is false.

    Else Ray Serve adds its own afterwards, which takes the place of this one and has not our messages. What is said to
    pass through its server is answered there, and by no deployment.
    """
    POOL.AddSerializedFile(reflection_pb2.DESCRIPTOR.serialized_pb)
    server.add_passthrough_service(SERVICE_NAME)
    add_ServerReflectionServicer_to_server(aio.ReflectionServicer([SERVICE_NAME, *services], POOL), server)
