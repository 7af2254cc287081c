"""A request with long lists is read as one without: from what is left of it, and its lists one by one."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbuffet import InvalidInput, Signature, Signatures, TensorSpec
from mlbuffet.json_tensors import arrays as json_arrays
from mlbuffet.json_tensors import outline as json_outline
from mlbuffet.json_tensors.outline import TextOf, read_outlined
from mlbuffet.json_tensors.text import decode_outline
from mlbuffet.server.protocols.open_inference.requests import decode_request, take_apart
from mlbuffet.server.protocols.tensorflow_serving.requests import decode_predict

SPECS = [TensorSpec("x", np.float32, None), TensorSpec("i", np.int8, None)]
SIGNATURES = Signatures({"serving_default": Signature(SPECS[:1], SPECS), "two": Signature(SPECS, SPECS)})

SPACED = "," + " " * 24  # a list of two elements is long then, and a shape is not
NUMBERS = st.sampled_from(
    ["0", "-1.5", "1e2", "NaN", "-Infinity", "1e40", "01", "null", "300", "true", "1e8888888", "{}"]
)
LISTS = st.recursive(
    st.lists(st.sampled_from(["1", "2"]) | NUMBERS, max_size=4).map(lambda leaves: f"[{SPACED.join(leaves)}]"),
    lambda inner: st.lists(inner, min_size=1, max_size=2).map(lambda lists: f"[{','.join(lists)} ]"),
    max_leaves=3,
)
OPEN_INFERENCE = [
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":*}],"id":"[1e8888888]"}',
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":*}]}',
    '{"inputs": [{"name": "x", "shape": [2, 2], "data" : * , "datatype": "FP32"}], "id": "a\\"b"}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"FP64","data":*},{"name":"i","shape":[1],"datatype":"INT8","data":*}]}',
    '{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":*}],"id":":[1,1]","other":[1e8888888]}',
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":*,"data":*}]}',
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":[1,2,3,4]}],"other":*}',
    '{"inputs":[{"name":"x","shape":[4],"datatype":"FP32","data":[1,2,3,4],"parameters":{"a":*}}]}',
    '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":*}],"id":"\\":[1,1]}]}"}',
]
PREDICT = [
    '{"instances":*}',
    '{"inputs":*}',
    '{"inputs":{"x":*,"i":*},"signature_name":"two"}',
    '{"signature_name":"two","instances":[{"x":*,"i":*},{"x":*,"i":1}]}',
    '{"instances":[{"x":{"y":*}}]}',
    '{"instances":[[{"b64":*}]]}',
    '{"instances":*,"other":*}',
]


def outcome(body: bytes) -> Any:
    decoded: Any
    try:
        if b"datatype" in body:
            decoded = decode_request(take_apart(body), SIGNATURES)
        else:
            decoded = decode_predict(body, SIGNATURES)
    except InvalidInput as error:
        return str(error)
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in decoded.inputs.items()}


@pytest.fixture
def _short() -> Iterator[None]:
    """What is long otherwise, is so from a few bytes on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_outline, "LONG", 12)
        yield


@given(st.sampled_from([*OPEN_INFERENCE, *PREDICT]), st.lists(LISTS, min_size=4, max_size=4), st.integers(0, 60))
def test_an_outline_tells_what_the_whole_tells(form: str, lists: list[str], cut: int) -> None:
    texts = iter(lists)
    body = re.sub(r"\*", lambda _: next(texts), form).encode()
    body = body[: len(body) - cut] if cut > 40 else body
    expected = outcome(body)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_outline, "LONG", 12)
        assert outcome(body) == expected


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("form", [*OPEN_INFERENCE[1:4], *PREDICT[:4]])
def test_long_lists_are_not_in_the_outline(form: str) -> None:
    body = form.replace("*", "[[1,2], [3,4]               ]").encode()
    outlines: list[bytes] = []

    def read(text: bytes, text_of: TextOf) -> None:
        outlines.append(text)
        for mark in re.findall(rb"\[[0-9]e[0-9]+\]", text):
            assert json.loads(bytes(text_of(mark))) == [[1, 2], [3, 4]]

    read_outlined(body, read)
    assert len(outlines) == 1
    assert b"1,2" not in outlines[0]


def refused(number: str) -> None:
    raise InvalidInput(number)


class Members(msgspec.Struct):
    x: msgspec.Raw


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize(
    "body",
    [
        b'{"y": [1,2,3,4,5               ], "x": 1}',
        b'{"x": 1, "y": ":[1,2,3,               4,5,6]}]}"}',
        b'{"x": [1,2,3,4,               5], "x": 1}',
        b'{"x": {"a": [1,2,3,4,               5]}}',
    ],
)
def test_a_list_that_is_not_asked_for_is_read_with_the_whole(body: bytes) -> None:
    given_texts: list[bytes] = []

    def read(text: bytes, text_of: TextOf) -> Any:
        given_texts.append(text)
        return json.loads(bytes(text_of(decode_outline(text, Members).x)), parse_float=refused)

    assert read_outlined(body, read) in (1, {"a": [1, 2, 3, 4, 5]})
    assert given_texts[-1] == body
    assert len(given_texts) == 2


def test_texts_as_long_as_they_like_are_left_alone() -> None:
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [3], "datatype": "BYTES", "data": [":[1" * 9999, "", "\\" * 99999]}]}
    )
    [array] = decode_request(take_apart(body.encode()), SIGNATURES).inputs.values()
    assert [len(one) for one in array] == [3 * 9999, 0, 99999]


def test_a_long_list_is_read_from_where_it_lies() -> None:
    values = np.random.default_rng(1).random((40, 3, 50), np.float32)
    tensor = {"name": "x", "shape": [40, 3, 50], "datatype": "FP32", "data": values.tolist()}
    for separators in ((",", ":"), (", ", ": "), (" ,\n", " : ")):
        body = json.dumps({"inputs": [tensor, {**tensor, "name": "y"}]}, separators=separators).encode()
        assert len(body) > 10 * json_arrays.LONG
        for array in decode_request(take_apart(body), SIGNATURES).inputs.values():
            np.testing.assert_array_equal(array, values, strict=True)
