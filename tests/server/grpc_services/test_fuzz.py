"""Messages with fields and bytes changed leave a server as it was: `make fuzz` sends it 20 000 of each kind."""

import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from random import Random
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from grpc_calls import HALF, INFER, assert_healthy, infer, typed
from grpc_process import GrpcProcess, grpc_process
from message_mutations import Mutations
from mlbuffet.grpc.messages import tensorflow_serving as serving
from mlbuffet.grpc.messages.tensorflow_core import Example, TensorProto
from mlbuffet.message_text import LONGEST_MESSAGE
from mlbuffet.server.protocols.tensorflow_serving.grpc_tensors import tensor_of
from onnx_linear import save_linear
from small_runtimes import write_models

EXAMPLES = int(os.environ.get("MLBUFFET_FUZZ", "100"))
IS_LONG = EXAMPLES >= 1000
"""Whether there is time for TensorFlow."""
CONCURRENT_CALLS = 16
GROWTH = 32 * 2**20
REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
ECHO = "float32 float64 int8 int64 uint8 uint64 bool object float16 bfloat16 complex64 int4"
NAMES = ["half", "echo", "linear", "second", "scored", "serving_default", "both", "regress", "x", "y", *ECHO.split()]
NAMES += ["FP32", "FP16", "INT8", "UINT64", "BOOL", "BYTES", "signature_name", "classification", "binary_data_size"]
NAMES += ["shared_memory_region", "signature_def", "inputs", "stable"]
ROWS = np.array([[1, 2, 3], [0.1, 0, -1]], np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcProcess]:
    folder = tmp_path_factory.mktemp("fuzz")
    models = write_models(folder / "models", {"half.half": "half", "echo.echo": ECHO, "scored.examples": ""})
    save_linear(models / "linear.onnx")
    if IS_LONG:
        from tensorflow_module import save_second

        save_second(models / "second" / "1")
    with grpc_process(folder, models) as running:
        yield running


def of_inference() -> list[Any]:
    parameters = {"signature_name": {"string_param": "float32"}, "priority": {"int64_param": 1}}
    raw = [{"name": "x", "datatype": "FP32", "shape": ROWS.shape}]
    wanted = [{"name": "y", "parameters": {"classification": {"int64_param": 2}}}]
    text = infer(
        "echo",
        inputs=[{"name": "x", "datatype": "BYTES", "shape": [2]}],
        raw_input_contents=[b"\1\0\0\0a\0\0\0\0"],
        parameters={"signature_name": {"string_param": "object"}},
    )
    return [
        HALF,
        text,
        infer(model_version="1", id="7", parameters={"signature_name": {"string_param": "both"}}),
        infer("linear", inputs=raw, raw_input_contents=[ROWS.tobytes()], outputs=wanted),
        infer("echo", inputs=raw, raw_input_contents=[ROWS.tobytes()], parameters=parameters),
        typed("echo", "int8", datatype="INT8", contents={"int_contents": [1, -2, 3]}),
        typed("echo", "object", datatype="BYTES", contents={"bytes_contents": [b"a", b"", b"\xff"]}),
    ]


def of_tensors() -> list[Any]:
    linear = tensor_of(ROWS, "x")
    content = TensorProto(dtype="DT_FLOAT", tensor_shape=linear.tensor_shape, tensor_content=ROWS.tobytes())
    arrays: dict[str, NDArray[Any]] = {
        "half": np.array([1, 2], np.float32),
        "object": np.array([b"a", b""], object),
        "int8": np.array([[1], [2]], np.int8),
        "float16": np.array([1, 2], np.float16),
        "complex64": np.array([1j], np.complex64),
        "bool": np.ones((), bool),
    }
    requests = [
        serving.PredictRequest(model_spec={"name": "linear"}, inputs={"x": linear}, output_filter=["y"]),
        serving.PredictRequest(model_spec={"name": "linear", "version": {"value": 1}}, inputs={"x": content}),
    ]
    for name, array in arrays.items():
        spec = {"name": "half"} if name == "half" else {"name": "echo", "signature_name": name}
        requests.append(serving.PredictRequest(model_spec=spec, inputs={"x": tensor_of(array, "x")}))
    if IS_LONG:
        dense = {"name": "second", "signature_name": "dense"}
        requests.append(serving.PredictRequest(model_spec=dense, inputs={"x": content}))
    return requests


def of_examples(kind: Any, signature: str) -> list[Any]:
    feature = {"x": {"float_list": {"value": [1, 2]}}, "t": {"bytes_list": {"value": [b"a"]}}, "i": {"int64_list": {}}}
    one = Example(features={"feature": feature})
    lists = (
        {"example_list": {"examples": [one, one]}},
        {"example_list_with_context": {"examples": [one], "context": one}},
    )
    specs = [
        {"name": "scored", "signature_name": signature},
        *([{"name": "second", "signature_name": signature}] * IS_LONG),
    ]
    return [kind(model_spec=spec, input=examples) for spec in specs for examples in lists]


SERVICE = "/tensorflow.serving.PredictionService"
KINDS: dict[str, tuple[str, list[Any]]] = {
    "ModelInfer": (INFER, of_inference()),
    "Predict": (f"{SERVICE}/Predict", of_tensors()),
    "Classify": (f"{SERVICE}/Classify", of_examples(serving.ClassificationRequest, "classify" if IS_LONG else "")),
    "Regress": (f"{SERVICE}/Regress", of_examples(serving.RegressionRequest, "regress")),
    "GetModelMetadata": (
        f"{SERVICE}/GetModelMetadata",
        [serving.GetModelMetadataRequest(model_spec={"name": "linear"}, metadata_field=["signature_def"])],
    ),
}


def outcomes(channel: grpc.Channel, kind: str, seed: str, count: int) -> Iterator[tuple[str, str]]:
    """The code and the details of so many calls, of which several are under way."""
    path, requests = KINDS[kind]
    chance = Random(f"{kind} {seed}")
    mutations, method = Mutations(NAMES, chance), channel.unary_unary(path)
    under_way: deque[Any] = deque()
    for _ in range(count):
        under_way.append(method.future(mutations.changed(chance.choice(requests)), timeout=60))
        if len(under_way) == CONCURRENT_CALLS:
            one = under_way.popleft()
            yield one.code().name, one.details()
    for one in under_way:
        yield one.code().name, one.details()


def is_refusal_or_failure_of_a_model(code: str, details: str) -> bool:
    if len(details) > LONGEST_MESSAGE + 5 or "Traceback" in details or "/site-packages" in details:
        return False
    return code in REFUSALS or (code == "INTERNAL" and "failed to compute" in details)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_messages_leave_a_server_as_it_was(server: GrpcProcess, kind: str) -> None:
    process, _, channel = server
    list(outcomes(channel, kind, "before", min(EXAMPLES, 2000)))  # what a server comes to hold once
    before, files = process.memory_info().rss, process.num_fds()
    codes: Counter[str] = Counter()
    slowest, begun = 0.0, time.perf_counter()
    for code, details in outcomes(channel, kind, "counted", EXAMPLES):
        codes[code] += 1
        assert code == "OK" or is_refusal_or_failure_of_a_model(code, details), (code, details)
        if codes.total() % 100 == 0:
            asked = time.perf_counter()
            assert_healthy(channel)
            slowest = max(slowest, time.perf_counter() - asked)
    growth = process.memory_info().rss - before
    shown = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
    print(  # the figures that `make fuzz` is for
        f"{kind}: {codes.total()} messages in {time.perf_counter() - begun:.0f} s ({shown}); memory "
        f"{growth / 2**20:+.1f} MiB; a good request answered within {slowest * 1000:.0f} ms beside "
        f"{CONCURRENT_CALLS} of them"
    )
    assert {"OK", "INVALID_ARGUMENT"} <= codes.keys()
    assert growth < GROWTH
    assert process.num_fds() <= files + 2
