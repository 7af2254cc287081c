"""Messages that are read by a template mean what they mean when they are read whole."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlbuffet.errors import InvalidInput
from mlbuffet.grpc.messages.open_inference import ModelInferRequest
from mlbuffet.server.protobuf_fields import field
from mlbuffet.server.protocols.open_inference.grpc_requests import DecodedMessage, decode_message, selector_of
from mlbuffet.server.protocols.open_inference.grpc_templates import RequestReader, TemplatedRequest

X = np.array([[1.5, -2.0]], "float32")
CODES = np.array([3, 4, 5], "int64")


def message(*, values: Any = X, **others: Any) -> ModelInferRequest:
    one = ModelInferRequest(model_name="half", **others)
    one.inputs.add(name="x", datatype="FP32", shape=values.shape)
    one.inputs.add(name="codes", datatype="INT64", shape=CODES.shape)
    one.raw_input_contents.extend([values.tobytes(), CODES.tobytes()])
    return one


def trained(*examples: ModelInferRequest) -> RequestReader:
    """A reader that knows messages like these."""
    reader = RequestReader()
    for one in examples * 2:
        reader.read(one.SerializeToString())
    return reader


def same(one: DecodedMessage, other: DecodedMessage) -> bool:
    assert replace(one.call, inputs={}) == replace(other.call, inputs={})
    assert list(one.call.inputs) == list(other.call.inputs)
    for name, array in one.call.inputs.items():
        np.testing.assert_array_equal(array, other.call.inputs[name], strict=True)
    return one.is_raw == other.is_raw


@pytest.mark.parametrize(
    "others",
    [{}, {"model_version": "3"}, {"id": "a"}, {"id": "ä" * 90}, {"id": "x" * 200, "model_version": "blue"}],
    ids=["bare", "version", "id", "long-id", "label"],
)
def test_a_message_that_fits_a_template_is_decoded_as_by_its_class(others: dict[str, Any]) -> None:
    reader = trained(message(**{name: value for name, value in others.items() if name != "id"}))
    sent = message(values=X + 1, **others)
    sent.outputs.add(name="y").parameters["classification"].int64_param = 2
    reader.read(sent.SerializeToString())
    reader.read(sent.SerializeToString())
    read = reader.read(sent.SerializeToString())
    assert isinstance(read, TemplatedRequest)
    assert same(read.decoded(), decode_message(sent))
    assert read.template.selector == selector_of(sent.model_name, sent.model_version)


@pytest.mark.parametrize("datatype", ["BF16", "FP16", "UINT8"])
@pytest.mark.parametrize("shape", [[], [0, 3], [5]])
def test_arrays_at_any_place_of_a_message_are_those_of_its_class(datatype: str, shape: list[int]) -> None:
    sent = ModelInferRequest(model_name="half")
    contents = [bytes(range(1, 1 + math.prod(shape) * (1 if datatype == "UINT8" else 2))), X.tobytes()]
    sent.inputs.add(name="odd", datatype=datatype, shape=shape)
    sent.inputs.add(name="x", datatype="FP32", shape=X.shape)
    sent.raw_input_contents.extend(contents)
    read = trained(sent).read(sent.SerializeToString())
    assert isinstance(read, TemplatedRequest)
    assert same(read.decoded(), decode_message(sent))


def test_requests_with_other_ids_share_a_template() -> None:
    read = trained(message(id="1")).read(message(id="2").SerializeToString())
    assert isinstance(read, TemplatedRequest)
    assert read.decoded().call.id == "2"


def _typed(one: ModelInferRequest) -> None:
    del one.raw_input_contents[:]
    one.inputs[0].contents.fp32_contents.extend(X.ravel().tolist())
    one.inputs[1].contents.int64_contents.extend(CODES.tolist())


def _text(one: ModelInferRequest) -> None:
    one.inputs[0].datatype = "BYTES"
    one.raw_input_contents[0] = b"\1\0\0\0a\1\0\0\0b"


def _bools(one: ModelInferRequest) -> None:
    one.inputs[0].datatype = "BOOL"
    one.raw_input_contents[0] = b"\0\1"


def _codes(one: ModelInferRequest) -> None:
    one.inputs[0].datatype = "INT4"
    one.raw_input_contents[0] = b"\1\7"


def _long(one: ModelInferRequest) -> None:
    one.inputs[0].name = "x" * 5000


def _wrong(one: ModelInferRequest) -> None:
    one.inputs[0].shape[0] = 7


@pytest.mark.parametrize("change", [_typed, _text, _bools, _codes, _long, _wrong])
def test_what_has_no_certain_sizes_has_no_template(change: Callable[[ModelInferRequest], None]) -> None:
    sent = message()
    change(sent)
    assert trained(sent).read(sent.SerializeToString()) == sent


def test_a_buffer_of_another_size_is_read_by_the_class_and_refused_as_ever() -> None:
    sent = message()
    reader = trained(sent)
    sent.raw_input_contents[1] += b"\0"
    read = reader.read(sent.SerializeToString())
    assert read == sent
    with pytest.raises(InvalidInput, match="input 'codes' has 25 bytes"):
        decode_message(read)


@pytest.mark.parametrize(
    "behind",
    [{"model_name": "other"}, {"model_version": "7"}, {"parameters": {"signature_name": {"string_param": "other"}}}],
    ids=["model", "version", "parameters"],
)
def test_what_one_client_sends_behind_its_contents_changes_no_request_of_others(behind: dict[str, Any]) -> None:
    sent = message().SerializeToString()
    reader = RequestReader()
    for _ in range(3):
        reader.read(sent + ModelInferRequest(**behind).SerializeToString())
    for _ in range(3):
        read = reader.read(sent)
        assert read == message()


def test_the_cache_does_not_grow_without_end() -> None:
    reader = RequestReader()
    for number in range(3000):
        one = message(model_version=str(number)).SerializeToString()
        reader.read(one)
        reader.read(one)
    assert len(reader._seen) <= 1024
    assert len(reader._known) <= 1024


@given(st.data())
def test_any_change_of_a_known_message_is_read_as_by_its_class(data: st.DataObject) -> None:
    whole = message(id="some-id", model_version="1").SerializeToString()
    position = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 4))
    changed = whole[:position] + data.draw(st.binary(max_size=4)) + whole[position + length :]
    changed += data.draw(st.sampled_from([b"", field(7, b"ab"), field(3, b"other"), field(99, b"new")]))
    reader = trained(message(id="some-id", model_version="1"))
    try:
        expected: Any = ModelInferRequest.FromString(changed)
        expected = decode_message(expected), selector_of(expected.model_name, expected.model_version)
    except Exception:  # noqa: BLE001  whatever it is, a template must not know better
        expected = None
    try:
        read = reader.read(changed)
        if isinstance(read, TemplatedRequest):
            found = read.decoded(), read.template.selector
            assert expected is not None
            assert same(found[0], expected[0])
            assert found[1] == expected[1]
    except InvalidInput:
        assert expected is None
