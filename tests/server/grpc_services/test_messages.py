"""Requests as messages: raw and typed contents, versions and labels, and what is wrong with others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from grpc_calls import DTYPES, HALF, INFER, Serve, X, answer, assert_healthy, call, infer, raw, typed
from mlbuffet.grpc.messages.open_inference import InferTensorContents, ModelInferRequest
from mlbuffet.message_text import LONGEST_MESSAGE
from mlbuffet.server.protocols.open_inference.datatypes import DATATYPES, datatype_of
from mlbuffet.server.protocols.open_inference.grpc_service import NAME
from mlbuffet.tensors import TensorSpec
from small_runtimes import write_models

FLOATS = np.array([1, 2, 5], "<f4").tobytes()
FP16 = {"name": "x", "datatype": "FP16", "shape": [2]}


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


def test_typed_contents_are_answered_with_typed_contents(channel: grpc.Channel) -> None:
    response = answer(channel, HALF)
    assert list(response.outputs[0].contents.fp32_contents) == [2.5, 3.0, 4.5]
    assert not response.raw_output_contents
    assert list(response.outputs[0].shape) == [3]


def test_raw_contents_are_answered_with_raw_contents(channel: grpc.Channel) -> None:
    response = answer(channel, raw(FLOATS))
    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == [2.5, 3.0, 4.5]
    assert not response.outputs[0].HasField("contents")


TYPED: dict[str, dict[str, Any]] = {
    "bool": {"bool_contents": [True, False, True]},
    "int8": {"int_contents": [-128, 0, 127]},
    "int16": {"int_contents": [-(2**15), 0, 2**15 - 1]},
    "int32": {"int_contents": [-(2**31), 0, 2**31 - 1]},
    "int64": {"int64_contents": [-(2**63), 0, 2**63 - 1]},
    "uint8": {"uint_contents": [0, 1, 255]},
    "uint16": {"uint_contents": [0, 1, 2**16 - 1]},
    "uint32": {"uint_contents": [0, 1, 2**32 - 1]},
    "uint64": {"uint64_contents": [0, 1, 2**64 - 1]},
    "float32": {"fp32_contents": [0.1, -0.0, np.inf]},
    "float64": {"fp64_contents": [0.1, 1e300, -np.inf]},
    "object": {"bytes_contents": [b"", b"\xff\0", b"a"]},
    "int4": {"int_contents": [-8, 0, 7]},
}


@pytest.mark.parametrize("dtype", TYPED)
def test_every_datatype_that_has_typed_contents(channel: grpc.Channel, dtype: str) -> None:
    datatype = datatype_of(TensorSpec("x", dtype, ()).dtype)
    response = answer(channel, typed("echo", dtype, datatype=datatype, contents=TYPED[dtype]))
    assert response.outputs[0].contents == InferTensorContents(**TYPED[dtype])
    assert response.outputs[0].datatype == datatype


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_datatype_may_be_raw(channel: grpc.Channel, dtype: str) -> None:
    spec = TensorSpec("x", dtype, ())
    buffer = b"\x01\0\0\0a\0\0\0\0" if dtype == "object" else np.array([0, 1]).astype(spec.dtype).tobytes()
    parameters = {"signature_name": {"string_param": dtype}}
    tensor = {"name": "x", "datatype": datatype_of(spec.dtype), "shape": [2]}
    response = answer(channel, infer("echo", inputs=[tensor], raw_input_contents=[buffer], parameters=parameters))
    assert response.raw_output_contents[0] == buffer


def test_the_numbers_of_float32_come_back_to_the_bit(channel: grpc.Channel) -> None:
    numbers = np.array([0x7F800001, 0xFFC12345, 1, 0x80000000, 0x7F7FFFFF], np.uint32).view(np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": [5]}
    parameters = {"signature_name": {"string_param": "float32"}}
    request = infer("echo", inputs=[tensor], raw_input_contents=[numbers.tobytes()], parameters=parameters)
    assert answer(channel, request).raw_output_contents[0] == numbers.tobytes()


def test_a_float_that_has_no_typed_contents_makes_the_answer_raw(tmp_path: Path, serve_grpc: Serve) -> None:
    from mlbuffet import Runtimes
    from output_forms import TwoForms

    runtimes = Runtimes()
    runtimes.register(TwoForms, name="forms")
    models = write_models(tmp_path, {"a.forms": ""})
    with serve_grpc(models, runtimes=runtimes) as (address, _), grpc.insecure_channel(address) as channel:
        response = answer(channel, typed("a", contents={"fp32_contents": [1, 2, 3]}))
        assert [output.datatype for output in response.outputs] == ["FP32", "FP16"]
        assert len(response.raw_output_contents) == 2
        assert "complex64" in response.parameters["omitted"].string_param
        assert "no datatype" in call(channel, infer("a", outputs=[{"name": "c"}]))[1]


def test_an_empty_tensor_needs_no_contents(channel: grpc.Channel) -> None:
    response = answer(channel, typed(shape=[0]))
    assert list(response.outputs[0].shape) == [0]
    assert answer(channel, raw(b"", shape=[0])).raw_output_contents == [b""]


def test_versions_are_numbers_or_labels(tmp_path: Path, serve_grpc: Serve) -> None:
    files = {"half/1/a.half": "half", "half/2/a.half": "half", "half/model.toml": '[labels]\nstable = 1\n"2024" = 1'}
    with serve_grpc(write_models(tmp_path, files)) as (address, _), grpc.insecure_channel(address) as channel:
        for asked, found in {"": "2", "1": "1", "2": "2", "stable": "1"}.items():
            assert answer(channel, infer(model_version=asked)).model_version == found
        code, details, _ = call(channel, infer(model_version="latest"))
        assert (code, "there are the versions 1, 2" in details) == (StatusCode.INVALID_ARGUMENT, True)
        assert call(channel, infer("other", model_version="stable"))[0] is StatusCode.NOT_FOUND
        metadata = call(channel, ModelInferRequest(model_name="x"), f"/{NAME}/ModelReady")
        assert metadata[0] is StatusCode.NOT_FOUND


EMOJI = "\U0001f98a"
REFUSED: dict[str, tuple[ModelInferRequest | bytes, StatusCode, str]] = {
    "no message": (b"\xff\xff", StatusCode.INVALID_ARGUMENT, "no inference.ModelInferRequest"),
    "text that is not UTF-8": (b"\x0a\x01\xff", StatusCode.INVALID_ARGUMENT, "no inference.ModelInferRequest"),
    "cut": (HALF.SerializeToString()[:-1], StatusCode.INVALID_ARGUMENT, "no inference.ModelInferRequest"),
    "an empty message": (b"", StatusCode.NOT_FOUND, "there is no model ''"),
    "unknown model": (infer("nowhere"), StatusCode.NOT_FOUND, "there is no model 'nowhere'"),
    "a path for a model": (infer("../half"), StatusCode.NOT_FOUND, "there is no model"),
    "unknown version": (infer(model_version="9"), StatusCode.NOT_FOUND, "there are: 1"),
    "a version over 64 bits": (infer(model_version="9" * 20), StatusCode.INVALID_ARGUMENT, "is not a version"),
    "a version with a zero": (infer(model_version="01"), StatusCode.INVALID_ARGUMENT, "is not a version"),
    "a negative version": (infer(model_version="-1"), StatusCode.INVALID_ARGUMENT, "has the label"),
    "a failed model": (infer("bad"), StatusCode.UNAVAILABLE, "is not ready"),
    "the model fails": (
        typed(contents={"fp32_contents": [1, 2, 666]}),
        StatusCode.INTERNAL,
        "failed to compute signature 'serving_default'",
    ),
    "no inputs": (infer(inputs=[]), StatusCode.INVALID_ARGUMENT, "input 'x' is missing"),
    "an input twice": (
        infer(inputs=[*HALF.inputs, *HALF.inputs]),
        StatusCode.INVALID_ARGUMENT,
        "input 'x' is given twice",
    ),
    "unknown input": (
        typed(name="w", contents={"fp32_contents": [1, 2, 5]}),
        StatusCode.INVALID_ARGUMENT,
        "input 'x' is missing",
    ),
    "unknown output": (infer(outputs=[{"name": "w"}]), StatusCode.INVALID_ARGUMENT, "there is no output 'w'"),
    "a long name of an output": (infer(outputs=[{"name": "w" * 100_000}]), StatusCode.INVALID_ARGUMENT, "no output"),
    "a long datatype": (typed(datatype="F" * 100_000), StatusCode.INVALID_ARGUMENT, "unknown datatype"),
    "an output twice": (
        infer(outputs=[{"name": "y"}, {"name": "y"}]),
        StatusCode.INVALID_ARGUMENT,
        "output 'y' is requested twice",
    ),
    "unknown datatype": (
        typed(datatype="FP31", contents={"fp32_contents": [1, 2, 5]}),
        StatusCode.INVALID_ARGUMENT,
        "unknown datatype 'FP31'",
    ),
    "no datatype": (typed(datatype=""), StatusCode.INVALID_ARGUMENT, "unknown datatype ''"),
    "another dtype": (
        typed(datatype="FP64", contents={"fp64_contents": [1, 2, 5]}),
        StatusCode.INVALID_ARGUMENT,
        "input 'x'",
    ),
    "contents of another type": (
        typed(contents={"int_contents": [1, 2, 5]}),
        StatusCode.INVALID_ARGUMENT,
        "input 'x' has int_contents; FP32 has fp32_contents",
    ),
    "contents of two types": (
        typed(contents={"fp32_contents": [1, 2, 5], "bytes_contents": [b"a"]}),
        StatusCode.INVALID_ARGUMENT,
        "has bytes_contents",
    ),
    "both contents": (
        infer(raw_input_contents=[FLOATS]),
        StatusCode.INVALID_ARGUMENT,
        "has contents beside raw_input_contents",
    ),
    "two raw contents for one input": (raw(FLOATS, FLOATS), StatusCode.INVALID_ARGUMENT, "1 inputs and 2 raw"),
    "one raw content for two inputs": (
        infer(inputs=[X, {**X, "name": "w"}], raw_input_contents=[FLOATS]),
        StatusCode.INVALID_ARGUMENT,
        "2 inputs and 1 raw",
    ),
    "neither contents": (typed(), StatusCode.INVALID_ARGUMENT, "has 0 elements; its shape [3] holds 3"),
    "FP16 typed": (
        infer("echo", inputs=[FP16], parameters={"signature_name": {"string_param": "float16"}}),
        StatusCode.INVALID_ARGUMENT,
        "FP16 has no typed contents, use raw_input_contents",
    ),
    "too few elements": (
        typed(contents={"fp32_contents": [1]}),
        StatusCode.INVALID_ARGUMENT,
        "has 1 elements; its shape [3] holds 3",
    ),
    "too many elements": (
        typed(shape=[1], contents={"fp32_contents": [1, 2]}),
        StatusCode.INVALID_ARGUMENT,
        "has 2 elements",
    ),
    "too few bytes": (raw(FLOATS[:-1]), StatusCode.INVALID_ARGUMENT, "has 11 bytes"),
    "too many bytes": (raw(FLOATS + b"a"), StatusCode.INVALID_ARGUMENT, "has 13 bytes"),
    "a negative dimension": (raw(FLOATS, shape=[-3]), StatusCode.INVALID_ARGUMENT, "negative"),
    "a shape that overflows": (raw(b"", shape=[2**32, 2**32]), StatusCode.INVALID_ARGUMENT, "too large"),
    "a shape that is 0 in 64 bits": (raw(b"", shape=[16, 2**60 + 2]), StatusCode.INVALID_ARGUMENT, "too large"),
    "an empty shape that is too large": (raw(b"", shape=[0, 2**62, 4]), StatusCode.INVALID_ARGUMENT, "too large"),
    "65 dimensions": (raw(FLOATS, shape=[1] * 65), StatusCode.INVALID_ARGUMENT, "at most 64"),
    "a wrong rank": (raw(FLOATS, shape=[1, 3]), StatusCode.INVALID_ARGUMENT, "shape (1, 3)"),
    "out of the range of INT8": (
        typed("echo", "int8", datatype="INT8", contents={"int_contents": [1, 2, 300]}),
        StatusCode.INVALID_ARGUMENT,
        "out of the range of int8",
    ),
    "out of the range of INT4": (
        typed("echo", "int4", datatype="INT4", contents={"int_contents": [1, 2, 8]}),
        StatusCode.INVALID_ARGUMENT,
        "input 'x'",
    ),
    "a BOOL that is 2": (
        infer(
            "echo",
            inputs=[{"name": "x", "datatype": "BOOL", "shape": [1]}],
            raw_input_contents=[b"\2"],
            parameters={"signature_name": {"string_param": "bool"}},
        ),
        StatusCode.INVALID_ARGUMENT,
        "neither 0 nor 1",
    ),
    "BYTES past the end": (
        infer(
            "echo",
            inputs=[{"name": "x", "datatype": "BYTES", "shape": [1]}],
            raw_input_contents=[b"\xff\xff\xff\xff"],
            parameters={"signature_name": {"string_param": "object"}},
        ),
        StatusCode.INVALID_ARGUMENT,
        "ends within element 0",
    ),
    "unknown signature": (
        infer(parameters={"signature_name": {"string_param": "w"}}),
        StatusCode.INVALID_ARGUMENT,
        "name one of: serving_default, both",
    ),
    "a signature that is a number": (
        infer(parameters={"signature_name": {"int64_param": 1}}),
        StatusCode.INVALID_ARGUMENT,
        "it is a string",
    ),
    "no default signature": (infer("echo"), StatusCode.INVALID_ARGUMENT, "no default signature"),
    "a classification of 0": (
        infer(outputs=[{"name": "y", "parameters": {"classification": {"int64_param": 0}}}]),
        StatusCode.INVALID_ARGUMENT,
        "a number from 1",
    ),
    "a signature of many letters": (
        infer(parameters={"signature_name": {"string_param": EMOJI * 100_000}}),
        StatusCode.INVALID_ARGUMENT,
        "there is no signature",
    ),
    "a name of many lines": (infer("a\r\n\0" * 1000), StatusCode.NOT_FOUND, "there is no model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_request(channel: grpc.Channel, name: str) -> None:
    message, expected, text = REFUSED[name]
    code, details, _ = call(channel, message)
    assert (code, text in details) == (expected, True), details
    assert len(details) <= LONGEST_MESSAGE + 5
    assert "secret" not in details
    assert_healthy(channel)


def test_every_error_of_a_request_is_that_of_the_table(channel: grpc.Channel) -> None:
    for path in ("ModelMetadata", "ModelConfig", "ModelReady", "ModelStatistics"):
        assert call(channel, b"\x0a\x01w", f"/{NAME}/{path}")[0] is StatusCode.NOT_FOUND, path
        assert call(channel, b"\xff", f"/{NAME}/{path}")[0] is StatusCode.INVALID_ARGUMENT, path


@pytest.mark.parametrize("path", [f"/{NAME}/Nothing", "/other.Service/Method", "/", "//", "/a/b/c", f"/{NAME}"])
def test_what_is_not_there_is_unimplemented(channel: grpc.Channel, path: str) -> None:
    code, details, _ = call(channel, b"", path)
    assert code is StatusCode.UNIMPLEMENTED
    assert details
    assert_healthy(channel)


def test_parameters_of_clients_and_unknown_fields_are_let_through(channel: grpc.Channel) -> None:
    request = infer(parameters={"priority": {"uint64_param": 1}, "triton_odd": {"double_param": 0.5}, "none": {}})
    answer(channel, request)
    answer(channel, request.SerializeToString() + b"\xfa\x01\x01a")


def test_a_huge_id_comes_back(channel: grpc.Channel) -> None:
    assert answer(channel, infer(id=EMOJI * 100_000)).id == EMOJI * 100_000


def test_datatypes_of_the_protocol_are_those_of_rest() -> None:
    assert {datatype_of(TensorSpec("x", dtype, ()).dtype) for dtype in DTYPES} <= set(DATATYPES.values())
    assert INFER.startswith("/inference.")
