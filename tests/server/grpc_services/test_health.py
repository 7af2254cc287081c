"""The standard services: health, of the server and of models, and reflection."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import InferenceServerClient

from mlbuffet.server.protocols.open_inference.grpc_service import NAME
from waiting import wait_for

OTHERS = {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.mark.parametrize(
    ("name", "expected"), [("", SERVING), (NAME, SERVING), ("half", SERVING), ("bad", NOT_SERVING)]
)
def test_the_health_of_the_server_and_of_models(channel: grpc.Channel, name: str, expected: int) -> None:
    assert HealthStub(channel).Check(HealthCheckRequest(service=name)).status == expected


def test_the_health_of_what_is_not_there(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        HealthStub(channel).Check(HealthCheckRequest(service="nowhere"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_health_of_everything(channel: grpc.Channel) -> None:
    found = {name: one.status for name, one in HealthStub(channel).List(HealthListRequest()).statuses.items()}
    assert found == {
        **dict.fromkeys(("", *OTHERS), SERVING),
        NAME: SERVING,
        "half": SERVING,
        "echo": SERVING,
        "sleep": SERVING,
        "bad": NOT_SERVING,
    }


def test_who_watches_a_model_sees_each_change(
    channel: grpc.Channel, address: str, client: InferenceServerClient
) -> None:
    seen: list[int] = []
    stream = HealthStub(channel).Watch(HealthCheckRequest(service="half"))

    def watch() -> None:
        try:
            seen.extend(one.status for one in stream)
        except grpc.RpcError:
            return

    watching = threading.Thread(target=watch)
    watching.start()
    wait_for(lambda: seen == [SERVING])
    client.unload_model("half")
    wait_for(lambda: seen == [SERVING, NOT_SERVING])
    client.load_model("half")
    wait_for(lambda: seen == [SERVING, NOT_SERVING, SERVING])
    stream.cancel()
    watching.join()


def test_reflection_shows_the_services_and_their_messages(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        *OTHERS,
    }
    pool = DescriptorPool(database)
    service = pool.FindServiceByName(NAME)
    assert "ModelStreamInfer" in service.methods_by_name
    assert service.methods_by_name["ModelInfer"].input_type.fields_by_name["raw_input_contents"].number == 7
    assert pool.FindServiceByName("grpc.health.v1.Health")
