"""Python values become arrays of the declared dtype, or a message that says where they do not."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput
from mlbuffet.conversion import array_from_python, dtype_name, kind_of

NUMBERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float16, np.float32]
NUMBERS += [
    np.float64,
    np.longdouble,
    np.complex64,
    np.clongdouble,
    ml_dtypes.bfloat16,
    ml_dtypes.int4,
    ml_dtypes.uint4,
    ml_dtypes.float8_e5m2,
]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_nested_lists_become_an_array_of_the_declared_dtype(dtype: type[np.generic]) -> None:
    array = array_from_python([[1, 2, 3], (4, 5, 6)], np.dtype(dtype), "x")
    assert array.dtype == dtype
    assert array.shape == (2, 3)
    assert array.astype(np.complex64).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (3, np.int64, np.array(3)),
        ([], np.float32, np.zeros(0, np.float32)),
        ([[], []], np.float32, np.zeros((2, 0), np.float32)),
        ([True, False], np.bool_, np.array([True, False])),
        ([1, 2.5], np.float64, np.array([1, 2.5])),
        ([1j, 2, 0.5], np.complex128, np.array([1j, 2, 0.5])),
        ([2**64 - 1], np.uint64, np.array([2**64 - 1], np.uint64)),
        ([float("nan"), float("-inf")], np.float32, np.array([np.nan, -np.inf], np.float32)),
        ([np.array([1, 2], np.int32), np.array([3, 4], np.int32)], np.int32, np.array([[1, 2], [3, 4]], np.int32)),
        ([np.float32(1.5)], np.float32, np.array([1.5], np.float32)),
    ],
)
def test_a_value_keeps_its_shape_and_meaning(value: object, dtype: type, expected: np.ndarray) -> None:
    array = array_from_python(value, np.dtype(dtype), "x")
    np.testing.assert_array_equal(array, expected, strict=True)


def test_text_becomes_utf_8_and_bytes_stay() -> None:
    array = array_from_python([["é", b"\x00\xff"]], np.dtype(object), "x")
    assert array.dtype == object
    assert array.tolist() == [["é".encode(), b"\x00\xff"]]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([[1.0, "1.5"]], np.float32, r"input 'x' holds '1.5' at \[0, 1\]; float32 takes numbers"),
        ([None], np.float32, r"holds None at \[0\]; float32 takes numbers"),
        ([True], np.float32, r"holds True at \[0\]"),
        ([{}], np.float32, r"holds {} at \[0\]"),
        ([1.5], np.int64, r"holds 1.5 at \[0\]; int64 takes whole numbers"),
        ([True], np.int64, r"holds True"),
        ([1], np.bool_, r"holds 1 at \[0\]; bool takes true or false"),
        ([1], object, r"holds 1 at \[0\]; bytes takes text or bytes"),
        ([0, 300], np.int8, r"holds 300 at \[1\], which is out of the range of int8"),
        ([-1], np.uint8, r"holds -1 at \[0\], which is out of the range of uint8"),
        ([8], ml_dtypes.int4, r"holds 8 at \[0\], which is out of the range of int4"),
        ([2**64], np.uint64, r"holds 18446744073709551616 at \[0\], which is out of the range of uint64"),
        ([0, 1e40], np.float32, r"holds 1e\+40 at \[1\], which is out of the range of float32"),
        ([70000], np.float16, r"holds 70000 at \[0\], which is out of the range of float16"),
        ([10**30], ml_dtypes.float8_e5m2, r"holds 1000000000000000000000000000000 at \[0\], which is out of the range"),
        ([1, 7], ml_dtypes.float4_e2m1fn, r"holds 7 at \[1\], which is out of the range of float4_e2m1fn"),
        ([float("nan")], ml_dtypes.float6_e2m3fn, r"holds nan at \[0\], which is out of the range"),
        ([1e300], np.complex64, r"holds 1e\+300 at \[0\], which is out of the range of complex64"),
        ([10**5000], np.float64, r"holds an integer of 16610 bits at \[0\]"),
        (["a" * 100], np.float64, r"holds 'a{39}\.\.\. at \[0\]"),
        ([[1, 2], [3]], np.int64, r"input 'x' is ragged: .* at level 2"),
        ([[1], 2], np.int64, "ragged"),
        (["\ud800"], object, "not valid Unicode"),
        ([np.float64(1)], np.float32, "has dtype float64; the model takes float32"),
        ([np.zeros(2), np.zeros(3)], np.float64, "a list of arrays that differ in shape"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(value: object, dtype: type, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        array_from_python(value, np.dtype(dtype), "x")


def test_lists_nested_deeper_than_an_array_can_be_are_refused() -> None:
    value: object = 1
    for _ in range(65):
        value = [value]
    with pytest.raises(InvalidInput, match="nested deeper than 64 lists"):
        array_from_python(value, np.dtype(np.int64), "x")


@given(
    hnp.arrays(
        hnp.scalar_dtypes().filter(lambda dtype: dtype.kind in "biuf" and dtype.itemsize <= 8), hnp.array_shapes()
    )
)
def test_every_array_comes_back_from_its_own_lists(array: np.ndarray) -> None:
    native = array.astype(array.dtype.newbyteorder("="))
    back = array_from_python(native.tolist(), native.dtype, "x")
    np.testing.assert_array_equal(back, native, strict=True)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), st.lists, max_leaves=20
)


@given(JSON_LIKE, st.sampled_from([*NUMBERS, np.bool_, object]))
def test_any_value_becomes_the_dtype_or_invalid_input(value: object, dtype: type) -> None:
    try:
        array = array_from_python(value, np.dtype(dtype), "x")
    except InvalidInput as error:
        assert "input 'x'" in str(error)
    else:
        assert array.dtype == dtype


def test_the_small_types_count_as_the_numbers_they_are() -> None:
    kinds = [kind_of(np.dtype(kind)) for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.uint4, np.uint8)]
    assert kinds == ["f", "f", "i", "i"]
    assert dtype_name(np.dtype(object)) == "bytes"
