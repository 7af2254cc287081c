"""JSON is read strictly and written so that numbers come back as they were."""

import json
import math
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput
from mlbuffet.json_tensors import text as json_text
from mlbuffet.json_tensors.text import decode, decode_outline, encode_array, text_of

ML_DTYPES = [one for one in vars(ml_dtypes).values() if isinstance(one, type) and issubclass(one, np.generic)]


class Body(msgspec.Struct):
    name: str
    data: Any = None


class Outline(msgspec.Struct):
    name: str
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


def test_bare_nan_and_infinities_are_read() -> None:
    body = decode(b'{"name": "x", "data": [NaN, Infinity, -Infinity, 1.5, 2]}', Body)
    assert math.isnan(body.data[0])
    assert body.data[1:] == [math.inf, -math.inf, 1.5, 2]


def test_integers_keep_every_digit() -> None:
    assert decode(b'{"name": "x", "data": 18446744073709551615}', Body).data == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"name": "x\xff"}', "not UTF-8"),
        (b'{"name": "\\ud800"}', "not valid JSON"),
        (b'{"name": "\\ud800", "data": NaN}', "out of range"),
        (b'{"name": "x", "data": [1e999]}', "out of range"),
        (b'{"name": "x", "data": [NaN, 1e999]}', "out of range"),
        (b'{"name": "x", "data": [' + b"9" * 5000 + b"]}", "out of range"),
        (b'{"name": "x", "data": [NaN, ' + b"9" * 5000 + b"]}", "out of range"),
        (b'{"name": "x", "data": ' + b"[" * 250_000, "nested too deep"),
        (b'{"name": "x", "data": [NaN, ' + b"[" * 250_000, "nested too deep"),
        (b'{"name": "NaN', "not valid JSON"),
        (b"[NaN]", "Expected `object`, got `array`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"name": 1}', r"Expected `str`, got `int` - at `\$.name`"),
        (b'{"name": 1, "data": NaN}', r"Expected `str`, got `int` - at `\$.name`"),
    ],
)
def test_what_is_not_the_json_expected_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode(text, Body)


def test_an_outline_leaves_the_text_of_raw_fields() -> None:
    outline = decode_outline(b'{"name": "NaN \\"NaN", "data": [NaN, {"Infinity": -Infinity}, "NaN"]}', Outline)
    assert outline.name == 'NaN "NaN'
    assert text_of(outline.data) == b'[NaN, {"Infinity": -Infinity}, "NaN"]'


@pytest.mark.parametrize(
    "text", [b'{"name": NaN}', b'{"name": "x", "data": [1e7777777]}', b'{"name": "x", "data": NaN', b'{"name": "NaN\\']
)
def test_an_outline_is_as_strict(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="JSON"):
        decode_outline(text, Outline)


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(st.none() | st.floats(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        decode(text, Body)
    except InvalidInput as error:
        assert "JSON" in str(error)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(1.5, np.float32), "1.5"),
        (np.array([0.1, 16777216], np.float32), "[0.1,16777216.0]"),
        (np.array([[np.nan, 0.1], [np.inf, -np.inf]]), "[[NaN,0.1],[Infinity,-Infinity]]"),
        (np.array(np.nan, np.float32), "NaN"),
        (np.array([1.5], np.float16), "[1.5]"),
        (np.array([1.5, np.nan], ml_dtypes.bfloat16), "[1.5,NaN]"),
        (np.array([0.25], ml_dtypes.float8_e5m2), "[0.25]"),
        (np.array([-3], ml_dtypes.int4), "[-3]"),
        (np.array([3], ml_dtypes.uint4), "[3]"),
        (np.array([2**64 - 1], np.uint64), "[18446744073709551615]"),
        (np.array([True, False]), "[true,false]"),
        (np.array([["é".encode(), b""]], object), '[["é",""]]'),
        (np.array(b"x", object), '"x"'),
        (np.zeros((0, 3)), "[]"),
        (np.zeros((2, 0)), "[[],[]]"),
        (np.zeros((0,), object), "[]"),
        (np.arange(6).reshape(2, 3).T, "[[0,3],[1,4],[2,5]]"),
        (np.array([[[1], [np.nan]], [[3], [4]]]), "[[[1.0],[NaN]],[[3.0],[4.0]]]"),
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_arrays_are_written_as_nested_lists(
    array: np.ndarray, text: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "PIECE", piece)
    assert encode_array(array).decode() == text


def test_bytes_that_are_no_text_are_not_written() -> None:
    with pytest.raises(UnicodeDecodeError):
        encode_array(np.array([b"\xff"], object))


@pytest.mark.parametrize("dtype", [np.complex64, np.longdouble, np.clongdouble])
def test_numbers_that_no_reader_of_json_takes_are_not_written(dtype: type) -> None:
    with pytest.raises(InvalidInput, match=f"{np.dtype(dtype)} cannot be written as JSON"):
        encode_array(np.zeros(1, dtype))


@pytest.mark.parametrize("dtype", ML_DTYPES)
def test_every_small_type_is_written_as_numbers(dtype: type) -> None:
    assert [float(one) for one in json.loads(encode_array(np.ones(2, dtype)))] == [1, 1]


@given(
    hnp.arrays(st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint64]), hnp.array_shapes(min_side=0))
)
def test_every_number_comes_back_as_it_was(array: np.ndarray) -> None:
    back = np.array(json.loads(encode_array(array)), array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(back, array)
