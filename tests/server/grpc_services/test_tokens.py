"""With a token for predictions, calls of gRPC reach no model without one; the health of the server stays open."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from grpc_calls import HALF, INFER, Serve, call
from mlbuffet.grpc.messages.open_inference import RepositoryModelLoadRequest
from mlbuffet.server import ServerSettings
from mlbuffet.server.protocols.open_inference import grpc_service as open_inference
from mlbuffet.token_file import TokenFile
from small_runtimes import write_models
from waiting import wait_for

TOKEN, ADMIN = "the-token-for-predictions", "the-token-for-changes"
NAME = open_inference.NAME
OPEN = {f"/{NAME}/ServerLive", f"/{NAME}/ServerReady"}


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"), {"half.half": "half"})


@pytest.fixture(scope="module")
def channel(models: Path, serve_grpc: Serve) -> Iterator[grpc.Channel]:
    settings = ServerSettings(predict_token=TOKEN, admin_token=ADMIN, allow_changes=True)
    with serve_grpc(models, settings) as (address, _), grpc.insecure_channel(address) as channel:
        yield channel


@pytest.mark.parametrize("token", [TOKEN, ADMIN])
def test_either_token_opens_predictions(channel: grpc.Channel, token: str) -> None:
    assert call(channel, HALF, metadata=bearer(token))[0] is StatusCode.OK


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer("another"),
        bearer(TOKEN[:-1]),
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        bearer(TOKEN) * 2,
    ],
)
def test_what_shows_no_token_is_refused(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
    code, details, _ = call(channel, HALF, metadata=metadata)
    assert code is StatusCode.UNAUTHENTICATED
    assert details


SERVICES = {
    NAME: "ServerLive ServerReady ServerMetadata ModelReady ModelMetadata ModelConfig ModelStatistics ModelInfer "
    "RepositoryIndex RepositoryModelLoad RepositoryModelUnload SystemSharedMemoryStatus Nothing",
    "tensorflow.serving.PredictionService": "Predict Classify Regress MultiInference GetModelMetadata",
    "tensorflow.serving.ModelService": "GetModelStatus",
    "nowhere": "Nothing",
}
METHODS = [f"/{service}/{method}" for service, methods in SERVICES.items() for method in methods.split()]


@pytest.mark.parametrize("path", METHODS)
def test_every_method_takes_a_token_but_those_that_are_open(channel: grpc.Channel, path: str) -> None:
    code, _, _ = call(channel, b"", path)
    assert (code is not StatusCode.UNAUTHENTICATED) == (path in OPEN)


def test_a_stream_takes_a_token(channel: grpc.Channel) -> None:
    stream = channel.stream_stream(f"/{NAME}/ModelStreamInfer")
    with pytest.raises(grpc.RpcError) as refused:
        list(stream(iter([HALF.SerializeToString()]), timeout=10))
    assert refused.value.code() is StatusCode.UNAUTHENTICATED
    assert len(list(stream(iter([HALF.SerializeToString()]), timeout=10, metadata=bearer(TOKEN)))) == 1


def test_the_token_for_predictions_changes_nothing(channel: grpc.Channel) -> None:
    request = RepositoryModelLoadRequest(model_name="half")
    for token, expected in ((TOKEN, StatusCode.UNAUTHENTICATED), (ADMIN, StatusCode.OK)):
        assert call(channel, request, f"/{NAME}/RepositoryModelLoad", metadata=bearer(token))[0] is expected


def test_the_health_of_the_server_is_open_and_that_of_models_is_not(channel: grpc.Channel) -> None:
    health = HealthStub(channel)
    assert health.Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING
    assert next(health.Watch(HealthCheckRequest())).status == HealthCheckResponse.SERVING
    assert "half" not in health.List(HealthListRequest()).statuses
    assert "half" in health.List(HealthListRequest(), metadata=bearer(TOKEN)).statuses
    asked = HealthCheckRequest(service="half")
    assert health.Check(asked, metadata=bearer(TOKEN)).status == HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(asked)
    assert refused.value.code() is StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as refused:
        next(health.Watch(asked))
    assert refused.value.code() is StatusCode.UNAUTHENTICATED


def test_a_file_with_another_token_counts_a_moment_later(models: Path, serve_grpc: Serve, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    with (
        serve_grpc(models, ServerSettings(predict_token=TokenFile(file))) as (address, _),
        grpc.insecure_channel(address) as channel,
    ):
        assert call(channel, HALF, INFER, metadata=bearer("first"))[0] is StatusCode.OK
        file.write_text("second")
        wait_for(lambda: call(channel, HALF, INFER, metadata=bearer("second"))[0] is StatusCode.OK)
        assert call(channel, HALF, INFER, metadata=bearer("first"))[0] is StatusCode.UNAUTHENTICATED
