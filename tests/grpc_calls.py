"""Calls of gRPC as bytes or messages, with how they end."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import grpc
import httpx

from mlbuffet.grpc.messages.open_inference import ModelInferRequest, ModelInferResponse
from mlbuffet.server.protocols.open_inference.grpc_service import NAME

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32"]
DTYPES += ["float64", "bfloat16", "object", "int4", "float8_e5m2"]
MODELS = {"half.half": "half", "bad.half": "corrupt", "echo.echo": " ".join(DTYPES), "sleep.sleep": ""}
Serve = Callable[..., AbstractContextManager[tuple[str, httpx.Client]]]
"""A fixture's function that serves the models at a path, and gives the address of gRPC and a client of HTTP."""

INFER = f"/{NAME}/ModelInfer"
X = {"name": "x", "datatype": "FP32", "shape": [3]}
HALF = ModelInferRequest(
    model_name="half",
    inputs=[{**X, "contents": {"fp32_contents": [1, 2, 5]}}],  # what the others are changed from
)


def infer(model: str = "half", **members: Any) -> ModelInferRequest:
    """A request with typed contents, but for the ``members`` that are given."""
    return ModelInferRequest(**{"model_name": model, "inputs": HALF.inputs, **members})


def raw(*contents: bytes, **changes: Any) -> ModelInferRequest:
    """A request with raw contents, of one input with ``changes``."""
    return infer(inputs=[{**X, **changes}], raw_input_contents=contents)


def typed(model: str = "half", signature: str | None = None, **changes: Any) -> ModelInferRequest:
    """A request with typed contents, of one input with ``changes``."""
    parameters = {} if signature is None else {"signature_name": {"string_param": signature}}
    return infer(model, inputs=[{**X, **changes}], parameters=parameters)


def call(channel: grpc.Channel, message: Any, path: str = INFER, **options: Any) -> tuple[grpc.StatusCode, str, bytes]:
    """Code, details and answer of a call with a message or with bytes."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    try:
        return grpc.StatusCode.OK, "", channel.unary_unary(path)(body, timeout=options.pop("timeout", 10), **options)
    except grpc.RpcError as error:
        return error.code(), error.details(), b""


def answer(channel: grpc.Channel, message: Any, **options: Any) -> ModelInferResponse:
    """The answer of a call that succeeds."""
    code, details, body = call(channel, message, **options)
    assert code is grpc.StatusCode.OK, details
    response: ModelInferResponse = ModelInferResponse.FromString(body)
    return response


def assert_healthy(channel: grpc.Channel) -> None:
    """The same server answers rightly, and soon."""
    begun = time.monotonic()
    assert list(answer(channel, HALF).outputs[0].contents.fp32_contents) == [2.5, 3.0, 4.5]
    assert time.monotonic() - begun < 5
