"""NVIDIA's tritonclient.grpc, as its users have it, against a running server."""

import asyncio
import queue
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc.aio as aio
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from waiting import wait_for

OF_TRITON = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32"]
OF_TRITON += ["float64", "bfloat16", "object"]


def half_input(*values: float) -> InferInput:
    tensor = InferInput("x", [len(values)], "FP32")
    tensor.set_data_from_numpy(np.array(values, np.float32))
    return tensor


def test_health_and_metadata(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("half")
    assert client.is_model_ready("half", "1")
    assert not client.is_model_ready("bad")
    assert "statistics" in client.get_server_metadata().extensions
    (x,) = client.get_model_metadata("half").inputs
    assert (x.name, x.datatype, list(x.shape)) == ("x", "FP32", [-1])
    config = client.get_model_config("half").config
    assert (config.max_batch_size, config.input[0].data_type, list(config.output[0].dims)) == (0, 11, [-1])
    assert not client.get_model_config("echo").config.input  # it has no default signature


def test_what_over_http_is_in_a_body_is_the_same_here(client: InferenceServerClient, http: httpx.Client) -> None:
    ours = client.get_model_metadata("half", as_json=True)
    theirs = http.get("/v2/models/half").json()
    assert ours["versions"] == theirs["versions"]
    assert ours["platform"] == theirs["platform"]
    assert client.get_server_metadata(as_json=True) == http.get("/v2").json()
    index = client.get_model_repository_index(as_json=True)["models"]
    assert index == http.post("/v2/repository/index").json()


def test_the_repository(client: InferenceServerClient) -> None:
    states = {entry.name: entry.state for entry in client.get_model_repository_index().models}
    assert states == {"bad": "UNAVAILABLE", "echo": "READY", "half": "READY", "sleep": "READY"}
    client.unload_model("half", unload_dependents=True)
    assert not client.is_model_ready("half")
    with pytest.raises(InferenceServerException, match="was unloaded") as failed:
        client.infer("half", [half_input(1)])
    assert failed.value.status() == "StatusCode.UNAVAILABLE"
    client.load_model("half")
    assert client.is_model_ready("half")
    with pytest.raises(InferenceServerException, match="'config' is not supported") as failed:
        client.load_model("half", config="{}")
    assert failed.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException) as failed:
        client.load_model("bad")
    assert failed.value.status() == "StatusCode.FAILED_PRECONDITION"


def test_a_request_and_its_id(client: InferenceServerClient) -> None:
    result = client.infer("half", [half_input(1, 2, 5)], request_id="7")
    assert result.as_numpy("y").tolist() == [2.5, 3.0, 4.5]
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("7", "half", "1")


def test_a_signature_and_the_order_of_outputs(client: InferenceServerClient) -> None:
    result = client.infer(
        "half",
        [half_input(4)],
        outputs=[InferRequestedOutput("z"), InferRequestedOutput("y")],
        parameters={"signature_name": "both"},
    )
    assert [output.name for output in result.get_response().outputs] == ["z", "y"]
    assert result.as_numpy("z").tolist() == [8]


def test_the_best_classes(client: InferenceServerClient) -> None:
    result = client.infer("half", [half_input(1, 5, 2)], outputs=[InferRequestedOutput("y", class_count=2)])
    assert result.as_numpy("y").tolist() == [b"4.500000:1", b"3.000000:2"]


def sample(dtype: str) -> np.ndarray:
    if dtype == "object":
        return np.array([[b"", b"\xff\0"], [b"a", "ä".encode()]], object)
    return np.array([[0, 1], [1, 0]]).astype(getattr(ml_dtypes, dtype, dtype))


@pytest.mark.parametrize("dtype", OF_TRITON)
def test_every_datatype(client: InferenceServerClient, dtype: str) -> None:
    array = sample(dtype)
    datatype = "BF16" if dtype == "bfloat16" else np_to_triton_dtype(array.dtype)
    tensor = InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    result = client.infer("echo", [tensor], parameters={"signature_name": dtype})
    np.testing.assert_array_equal(result.as_numpy("x"), array)


def test_statistics(client: InferenceServerClient) -> None:
    before = client.get_inference_statistics("half", "1").model_stats[0].inference_stats.success.count
    client.infer("half", [half_input(1)])
    (counts,) = client.get_inference_statistics("half").model_stats
    assert counts.inference_stats.success.count == before + 1
    assert {one.name for one in client.get_inference_statistics().model_stats} >= {"half", "echo"}


NOT_OFFERED: dict[str, tuple[Any, ...]] = {
    "get_system_shared_memory_status": (),
    "get_cuda_shared_memory_status": (),
    "register_system_shared_memory": ("a", "/a", 8),
    "register_cuda_shared_memory": ("a", b"YQ==", 0, 8),
    "unregister_system_shared_memory": ("a",),
    "unregister_cuda_shared_memory": (),
    "get_trace_settings": ("half",),
    "update_trace_settings": ("half", {"trace_rate": "1"}),
    "get_log_settings": (),
    "update_log_settings": ({"log_verbose_level": 1},),
}
OFFERED: dict[str, tuple[Any, ...]] = {
    "is_server_live": (),
    "is_server_ready": (),
    "is_model_ready": ("half",),
    "get_server_metadata": (),
    "get_model_metadata": ("half",),
    "get_model_config": ("half",),
    "get_model_repository_index": (),
    "get_inference_statistics": ("half",),
    "load_model": ("half",),
    "unload_model": ("half",),
    "infer": ("half", [half_input(1)]),
}
OF_STREAMS = {"async_infer", "start_stream", "async_stream_infer", "stop_stream", "stream_infer"}
"""Which have tests of their own."""
OF_THE_CLIENT_ALONE = {"close", "plugin", "register_plugin", "unregister_plugin"}


def test_these_are_all_methods_of_the_client() -> None:
    known = {*OFFERED, *NOT_OFFERED, *OF_STREAMS, *OF_THE_CLIENT_ALONE}
    clients = InferenceServerClient, aio.InferenceServerClient
    assert {name for client in clients for name in dir(client) if not name.startswith("_")} == known


@pytest.mark.parametrize("name", OFFERED)
def test_a_method_that_is_offered_is_so_on_an_event_loop_too(
    client: InferenceServerClient, address: str, name: str
) -> None:
    here = getattr(client, name)(*OFFERED[name])
    there = asyncio.run(on_an_event_loop(address, name, OFFERED[name]))
    client.load_model("half")
    assert type(here) is type(there)
    assert name not in ("is_server_live", "is_server_ready", "is_model_ready") or (here and there)


async def on_an_event_loop(address: str, name: str, arguments: tuple[Any, ...]) -> Any:
    async with aio.InferenceServerClient(address) as client:
        return await getattr(client, name)(*arguments)


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_is_not_offered_says_so(client: InferenceServerClient, address: str, name: str) -> None:
    with pytest.raises(InferenceServerException, match="this server") as failed:
        getattr(client, name)(*NOT_OFFERED[name])
    assert failed.value.status() == "StatusCode.UNIMPLEMENTED"
    with pytest.raises(InferenceServerException, match="this server") as failed:
        asyncio.run(on_an_event_loop(address, name, NOT_OFFERED[name]))
    assert failed.value.status() == "StatusCode.UNIMPLEMENTED"


def test_a_tensor_in_shared_memory_is_refused(client: InferenceServerClient) -> None:
    tensor = InferInput("x", [1], "FP32")
    tensor.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match="is in shared memory"):
        client.infer("half", [tensor])
    wanted = InferRequestedOutput("y")
    wanted.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match="is wanted in shared memory"):
        client.infer("half", [half_input(1)], outputs=[wanted])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(client: InferenceServerClient, algorithm: str) -> None:
    result = client.infer("half", [half_input(*[997.0] * 1000)], compression_algorithm=algorithm)
    assert result.as_numpy("y").tolist() == [500.5] * 1000


def test_many_at_once(client: InferenceServerClient) -> None:
    answers: queue.Queue[tuple[InferResult, Any]] = queue.Queue()
    for number in range(100):
        client.async_infer(
            "half", [half_input(number)], lambda result, error: answers.put((result, error)), request_id=str(number)
        )
    for _ in range(100):
        result, error = answers.get(timeout=10)
        assert error is None
        assert result.as_numpy("y").tolist() == [int(result.get_response().id) / 2 + 2]


def test_a_client_on_an_event_loop(address: str) -> None:
    async def ask() -> list[float]:
        async with aio.InferenceServerClient(address) as client:
            results = await asyncio.gather(*(client.infer("half", [half_input(number)]) for number in range(20)))
            return [float(result.as_numpy("y")[0]) for result in results]

    assert asyncio.run(ask()) == [number / 2 + 2 for number in range(20)]


def test_a_stream_on_an_event_loop(address: str) -> None:
    async def requests() -> Any:
        for number in range(5):
            yield {"model_name": "half", "inputs": [half_input(number)], "request_id": str(number)}

    async def ask() -> set[tuple[str, float]]:
        async with aio.InferenceServerClient(address) as client:
            found = set()
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found.add((result.get_response().id, float(result.as_numpy("y")[0])))
            return found

    assert asyncio.run(ask()) == {(str(number), number / 2 + 2) for number in range(5)}


class Stream:
    """A stream of one client, and what came."""

    def __init__(self, client: InferenceServerClient) -> None:
        self.came: list[tuple[str, Any]] = []
        self._client = client

    def __enter__(self) -> "Stream":
        self._client.start_stream(self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_stream()

    def send(self, model: str, tensor: InferInput, name: str) -> None:
        self._client.async_stream_infer(model, [tensor], request_id=name)

    def _take(self, result: InferResult, error: InferenceServerException | None) -> None:
        self.came.append((result.get_response().id, result) if error is None else ("error", error.message()))


def sleep_input(seconds: float) -> InferInput:
    tensor = InferInput("x", [], "FP32")
    tensor._raw_content = np.float32(seconds).tobytes()  # numpy arrays of rank 0 are refused by the client
    return tensor


def test_requests_of_a_stream_are_answered_in_the_order_of_their_ends(client: InferenceServerClient) -> None:
    with Stream(client) as stream:
        stream.send("sleep", sleep_input(0.5), "slow")
        stream.send("half", half_input(1), "quick")
        wait_for(lambda: len(stream.came) == 2)
    assert [name for name, _ in stream.came] == ["quick", "slow"]


def test_an_error_of_a_stream_is_one_of_its_answers(client: InferenceServerClient) -> None:
    with Stream(client) as stream:
        stream.send("nowhere", half_input(1), "first")
        wait_for(lambda: stream.came)
        stream.send("half", half_input(2), "second")
        wait_for(lambda: len(stream.came) == 2)
    assert stream.came[0] == ("error", "there is no model 'nowhere'")
    assert stream.came[1][0] == "second"


def test_a_stream_answers_more_than_it_reads_at_once(client: InferenceServerClient) -> None:
    with Stream(client) as stream:
        for number in range(500):
            stream.send("half", half_input(number), str(number))
        wait_for(lambda: len(stream.came) == 500)
    assert {name for name, _ in stream.came} == {str(number) for number in range(500)}
