"""NVIDIA's tritonclient, as its users have it, against a running server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.http.aio as aio
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from mlbuffet.server import ServerSettings

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32"]
DTYPES += ["float64", "bfloat16", "object"]


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[InferenceServerClient]:
    models = tmp_path_factory.mktemp("models")
    (models / "half.half").write_text("half")
    (models / "bad.half").write_text("corrupt")
    (models / "echo.echo").write_text(" ".join(DTYPES))
    with serve(models, ServerSettings(allow_changes=True)) as plain:
        url = str(plain.base_url).removeprefix("http://").rstrip("/")
        with InferenceServerClient(url, concurrency=4) as triton:
            yield triton


def half_input(*values: float, binary: bool = True) -> InferInput:
    tensor = InferInput("x", [len(values)], "FP32")
    tensor.set_data_from_numpy(np.array(values, np.float32), binary_data=binary)
    return tensor


def test_health_and_metadata(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("half")
    assert client.is_model_ready("half", "1")
    assert not client.is_model_ready("bad")
    assert not client.is_model_ready("half", "7")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("half")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    assert client.get_model_config("half")["max_batch_size"] == 0


def test_the_repository(client: InferenceServerClient) -> None:
    states = {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}
    assert states == {"bad": "UNAVAILABLE", "echo": "READY", "half": "READY"}
    client.unload_model("half")
    assert not client.is_model_ready("half")
    client.load_model("half")
    assert client.is_model_ready("half")
    with pytest.raises(InferenceServerException, match="the model cannot be loaded"):
        client.load_model("bad")
    with pytest.raises(InferenceServerException, match="'config' is not supported"):
        client.load_model("half", config="{}")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors_travel_as_json_and_as_raw_buffers(
    client: InferenceServerClient, *, binary_in: bool, binary_out: bool
) -> None:
    result = client.infer(
        "half",
        [half_input(1, 2, 5, binary=binary_in)],
        outputs=[InferRequestedOutput("y", binary_data=binary_out)],
        request_id="seven",
    )
    assert result.as_numpy("y").tolist() == [2.5, 3.0, 4.5]
    assert result.get_response()["id"] == "seven"
    assert result.as_numpy("nope") is None


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_datatype_comes_back_as_it_was(client: InferenceServerClient, dtype: str, *, binary: bool) -> None:
    if dtype == "object":
        values: Any = np.array([[b"a\x00b", "é".encode(), b"", b"x" * 100_000]], object)
    else:
        values = np.array([[0, 1]], ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    tensor = InferInput("x", list(values.shape), np_to_triton_dtype(values.dtype))
    if not binary and dtype in ("float16", "bfloat16"):  # tritonclient itself keeps these out of JSON
        tensor.set_data_from_numpy(values)
        with pytest.raises(InferenceServerException, match="ask for the binary form"):
            client.infer(
                "echo",
                [tensor],
                outputs=[InferRequestedOutput("x", binary_data=False)],
                parameters={"signature_name": dtype},
            )
        return
    tensor.set_data_from_numpy(values, binary_data=binary)
    wanted = [InferRequestedOutput("x", binary_data=binary)]
    result = client.infer("echo", [tensor], outputs=wanted, parameters={"signature_name": dtype})
    found = result.as_numpy("x")
    if dtype == "object" and not binary:
        found = np.array([[text.encode() for text in found.ravel()]], object)
    np.testing.assert_array_equal(found, values)


def test_an_empty_tensor_travels(client: InferenceServerClient) -> None:
    tensor = InferInput("x", [0, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((0, 3), np.float32))
    result = client.infer("echo", [tensor], parameters={"signature_name": "float32"})
    assert result.as_numpy("x").shape == (0, 3)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_bodies_are_compressed_both_ways(client: InferenceServerClient, algorithm: str) -> None:
    result = client.infer(
        "half",
        [half_input(*[2.0] * 5000)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert result.as_numpy("y").tolist() == [3.0] * 5000


@pytest.mark.parametrize("binary", [True, False])
def test_classes_are_counted(client: InferenceServerClient, *, binary: bool) -> None:
    wanted = [InferRequestedOutput("y", binary_data=binary, class_count=2)]
    result = client.infer("half", [half_input(1, 2, 5)], outputs=wanted)
    assert [bytes(text) if binary else text.encode() for text in result.as_numpy("y")] == [b"4.500000:2", b"3.000000:1"]


def test_calls_are_made_at_once(client: InferenceServerClient) -> None:
    calls = [client.async_infer("half", [half_input(number)]) for number in range(20)]
    assert [call.get_result().as_numpy("y")[0] for call in calls] == [number / 2 + 2 for number in range(20)]


def test_the_client_for_asyncio_works_too(client: InferenceServerClient) -> None:
    async def ask() -> tuple[bool, list[float]]:
        address = f"{client._parsed_url.host}:{client._parsed_url.port}"
        async with aio.InferenceServerClient(address) as triton:
            tensor = aio.InferInput("x", [2], "FP32")
            tensor.set_data_from_numpy(np.array([1, 2], np.float32))
            result = await triton.infer("half", [tensor])
            return await triton.is_server_ready(), result.as_numpy("y").tolist()

    assert asyncio.run(ask()) == (True, [2.5, 3.0])


def test_calls_are_counted(client: InferenceServerClient) -> None:
    before = client.get_inference_statistics("half")["model_stats"][0]["inference_count"]
    client.infer("half", [half_input(1)])
    assert client.get_inference_statistics("half", "1")["model_stats"][0]["inference_count"] == before + 1
    assert len(client.get_inference_statistics()["model_stats"]) == 3


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "message"),
    [
        ("nope", [half_input(1)], None, "there is no model 'nope'"),
        ("bad", [half_input(1)], None, "the model cannot be loaded"),
        ("half", [half_input(1)], [InferRequestedOutput("w")], "there is no output 'w'"),
        ("half", [InferInput("w", [0], "FP32")], None, "input 'w' has neither 'data'"),
        ("half", [half_input(666)], None, "failed to compute"),
    ],
)
def test_errors_are_told_in_words(
    client: InferenceServerClient, model: str, inputs: list[InferInput], outputs: Any, message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message):
        client.infer(model, inputs, outputs=outputs)
