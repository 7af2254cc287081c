"""A prediction is the same to the last bit under /v2 (JSON, raw), under /v1 (rows, columns) and in Python."""

# mypy: allow-untyped-decorators

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import onnx
import pytest

import mlbuffet
from mlbuffet import Runtimes
from mlbuffet.server.protocols.open_inference.binary import array_from_buffer, buffer_from_array
from mlbuffet.server.protocols.open_inference.datatypes import BINARY_ONLY, DATATYPES
from mlbuffet_tensorflow._tensorflow import tf

DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "object",
]
SHAPE = (40, 3)


def values_of(dtype: str) -> np.ndarray:
    """Values that show what is lost: the ends of a range, subnormal numbers, -0.0, NaN and infinities, NUL."""
    random = np.random.default_rng(5)
    match np.dtype(dtype).kind:
        case "b":
            return random.integers(0, 2, SHAPE).astype(bool)
        case "i" | "u":
            ends = np.iinfo(dtype)
            values = random.integers(ends.min, ends.max, SHAPE, dtype, endpoint=True)
            values[0] = [ends.min, ends.max, 0]
        case "f" | "V":
            limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # it has no types
            powers = random.integers(limits.minexp // 4, limits.maxexp // 4, SHAPE)
            values = (random.normal(size=SHAPE) * 2.0**powers).astype(dtype)
            values[0], values[1] = [-0.0, np.nan, np.inf], [-np.inf, limits.smallest_subnormal, 0.1]
        case _:
            values = np.array([f"é\0{number}".encode() for number in range(120)], object).reshape(SHAPE)
    return values


def save_onnx(path: Path, dtype: str) -> None:
    """y = x."""
    kind = onnx.TensorProto.STRING if dtype == "object" else onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (onnx.helper.make_tensor_value_info(name, kind, ["n", 3]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def save_tensorflow(path: Path) -> None:
    """y = x, turned upside down; a signature for each dtype."""

    def turned(dtype: str) -> Any:
        spec = tf.TensorSpec([None, 3], tf.string if dtype == "object" else tf.as_dtype(dtype), "x")
        return tf.function(lambda x: {"y": tf.gather(x, tf.range(tf.shape(x)[0])[::-1])}, [spec], autograph=False)

    module = tf.Module()
    module.functions = {dtype: turned(dtype) for dtype in DTYPES}
    tf.saved_model.save(
        module, str(path), {name: one.get_concrete_function() for name, one in module.functions.items()}
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for dtype in DTYPES:
        save_onnx(root / f"onnx-{dtype}.onnx", dtype)
    save_tensorflow(root / "tensorflow" / "1")
    return root


@pytest.fixture(scope="module")
def client(
    models: Path, installed: Runtimes, serve: Callable[..., AbstractContextManager[httpx.Client]]
) -> Iterator[httpx.Client]:
    with serve(models, runtimes=installed) as client:
        yield client


def plain(values: np.ndarray) -> Any:
    return [[item.decode() for item in row] for row in values] if values.dtype.kind == "O" else values.tolist()


def array(values: Any, dtype: str) -> np.ndarray:
    if dtype == "object":
        return np.array([[item.encode() for item in row] for row in values], object)
    return np.array(values, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("runtime", ["onnx", "tensorflow"])
def test_a_prediction_is_the_same_however_it_is_asked_for(
    client: httpx.Client, models: Path, runtime: str, dtype: str
) -> None:
    name = f"onnx-{dtype}" if runtime == "onnx" else "tensorflow"
    signature = "serving_default" if runtime == "onnx" else dtype
    x = values_of(dtype)
    with mlbuffet.load(models / (f"{name}.onnx" if runtime == "onnx" else "tensorflow/1")) as model:
        expected = model.predict({"x": x}, signature=signature)["y"]

    def ask(address: str, members: dict[str, Any], buffer: bytes = b"") -> httpx.Response:
        text = json.dumps(members).encode()
        headers = {"Inference-Header-Content-Length": str(len(text))} if buffer else {}
        answer = client.post(address, content=text + buffer, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    infer, predict = f"/v2/models/{name}/infer", f"/v1/models/{name}:predict"
    named = {"signature_name": signature}
    tensor = {"name": "x", "shape": SHAPE, "datatype": DATATYPES[x.dtype]}
    buffer = bytes(buffer_from_array(x))
    sized = {**tensor, "parameters": {"binary_data_size": len(buffer)}}
    raw = ask(infer, {"inputs": [sized], "parameters": {**named, "binary_data_output": True}}, buffer)
    raw_y = memoryview(raw.content)[int(raw.headers["inference-header-content-length"]) :]
    answers = [
        array_from_buffer(raw_y, x.dtype, list(SHAPE), "y"),
        array(ask(predict, {**named, "instances": plain(x)}).json()["predictions"], dtype),
        array(ask(predict, {**named, "inputs": {"x": plain(x)}}).json()["outputs"], dtype),
    ]
    if tensor["datatype"] not in BINARY_ONLY:
        text = ask(infer, {"inputs": [{**tensor, "data": plain(x)}], "parameters": named}).json()["outputs"][0]["data"]
        answers.append(array([text[begin : begin + 3] for begin in range(0, len(text), 3)], dtype))
    for y in answers:
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        assert bytes(buffer_from_array(y)) == bytes(buffer_from_array(expected))
