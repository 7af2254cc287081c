"""Long lists are read a piece at a time, to the same arrays as short ones."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput
from mlbuffet.conversion import array_from_python
from mlbuffet.json_tensors import arrays as json_arrays
from mlbuffet.json_tensors import numbers as json_numbers
from mlbuffet.json_tensors.arrays import array_from_text, count_elements
from mlbuffet.json_tensors.numbers import number_reader
from mlbuffet.json_tensors.span import Span
from mlbuffet.json_tensors.text import decode

FLOAT = np.dtype(np.float32)


DTYPES = [np.dtype(one) for one in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d")]
DTYPES += [np.dtype(one) for one in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4, ml_dtypes.uint4)]

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
TOKENS = [
    *("0", "-0", "-0.0", "0e5", "1E+2", "1e-2", "0.1", "1e40", "-1e40", "1e-400", "-1e-400", "5e-324", "2.5e-324"),
    *("3.4028235677973366e38", "3.4028234e38", "65519.9999", "65520", "1e308", "1.7976931348623158e308", "1e309"),
    *("9007199254740993", "9007199254740993.0", "16777217", "127", "128", "-128", "-129", "255", "256", "7", "-8", "8"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "1" * 30, "1" * 400, "1.5", "1.0"),
    *("NaN", "Infinity", "-Infinity", "true", "false", "null"),
]
MALFORMED = [
    *("01", "-01", "00", "+1", ".5", "-.5", "1.", "1.e5", "1e", "1e+", "-", "--1", "0x1", "1_0", "1 0", "1f", "1e5.5"),
    *("nan", "inf", "-NaN", "+Infinity", "Nan", "infinity", "Tru", "", ",", "[", "]", "}", ":", "1,", ",1", "1]", "[1"),
    *("1:2", "\x00", "1\x00", "\x0b1", "\u00a01", "\ufeff1", "\u0661", "//", "1/**/", "'1'", "\\", "1;"),
]


@pytest.fixture(autouse=True, scope="module", params=["with simdjson", "without"])
def _reader(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_arrays, "LONG", 0)
        patched.setattr(json_arrays, "MANAGEABLE", 0)
        patched.setattr(json_arrays, "PIECE", 2)
        if request.param == "without":
            patched.setattr(json_numbers, "Parser", None)
        else:
            assert number_reader(FLOAT)(b"[1]") == 1
        yield


@st.composite
def texts_of_lists(draw: st.DrawFn, leaves: st.SearchStrategy[str]) -> bytes:
    """Nested lists of equal lengths, written with any white space."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    space = draw(st.sampled_from(["", " ", "\n\t ", "\r"]))
    comma = draw(st.sampled_from([",", ", ", " ,"]))

    def text(level: int) -> str:
        if level == len(sizes):
            return draw(leaves)
        return f"[{space}{comma.join(text(level + 1) for _ in range(sizes[level]))}{space}]"

    return text(0).encode()


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def outcome(make: Callable[[], np.ndarray]) -> Any:
    try:
        array = make()
    except InvalidInput as error:
        return str(error)
    return array.dtype, array.shape, array.tobytes()


@given(texts_of_lists(st.sampled_from(TOKENS) | NUMBERS), st.sampled_from(DTYPES))
@settings(max_examples=200)
def test_a_piece_at_a_time_gives_what_all_at_once_gives(text: bytes, dtype: np.dtype[Any]) -> None:
    expected = outcome(lambda: array_from_python(decode(text, Any), dtype, "x"))
    inside = Span(b"[" + text + b",[", 1, len(text) + 1)
    for found in [outcome(partial(array_from_text, read, dtype, "x")) for read in (text, inside)]:
        assert found == expected or (isinstance(found, str) and isinstance(expected, str))


@given(texts_of_lists(st.just("1")), st.sampled_from(TOKENS), st.integers(0), st.sampled_from(DTYPES[1:]))
@settings(max_examples=200)
def test_what_is_refused_is_named_as_all_at_once(text: bytes, token: str, place: int, dtype: np.dtype[Any]) -> None:
    ones = text.split(b"1")
    place %= len(ones) - 1
    text = b"1".join(ones[: place + 1]) + token.encode() + b"1".join(ones[place + 1 :])
    expected = outcome(lambda: array_from_python(decode(text, Any), dtype, "x"))
    found = outcome(lambda: array_from_text(text, dtype, "x"))
    assert found == expected


@given(
    texts_of_lists(st.sampled_from(["1", "0.5", "*"]) | st.just("*")).filter(lambda text: b"*" in text),
    st.sampled_from(MALFORMED),
    st.sampled_from(DTYPES),
)
@settings(max_examples=200)
def test_what_is_no_json_is_refused(text: bytes, malformed: str, dtype: np.dtype[Any]) -> None:
    broken = text.replace(b"*", malformed.encode(), 1).replace(b"*", b"1")
    if not is_json(broken.decode()):
        with pytest.raises(InvalidInput):
            array_from_text(broken, dtype, "x")


@pytest.mark.parametrize("malformed", MALFORMED)
def test_no_malformed_number_is_read(malformed: str) -> None:
    forms = ["[%s]", "[1,2,%s]", "[%s,1,2]", "[[1,2],[%s,3]]", "[[1,%s],[2,3]]", "[[[1]],[[%s]]]"]
    texts = [form % malformed for form in forms]
    for text, dtype in product([text for text in texts if not is_json(text)], "fdqQb"):
        with pytest.raises(InvalidInput):
            array_from_text(text.encode(), np.dtype(dtype), "x")


@pytest.mark.parametrize(
    "text",
    ["[[1,]2,[3,4]]", "[[1,2]3,[4]]", "[[1,2],3[,4]]", "[[1,2],[3,4]],", "[[1,2],[3,4]]]", "[1,2],", "[1,2", "[,]"],
)
def test_brackets_and_commas_are_where_json_has_them(text: str) -> None:
    with pytest.raises(InvalidInput):
        array_from_text(text.encode(), FLOAT, "x")


@pytest.mark.parametrize("separators", [(",", ":"), (" ,\n\t", ":")])
@given(
    array=st.sampled_from([np.bool_, np.int8, np.uint64, np.float16, np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, max_side=4))
    )
)
def test_every_array_comes_back(array: np.ndarray, separators: tuple[str, str]) -> None:
    text = json.dumps(array.tolist(), separators=separators).encode()
    np.testing.assert_array_equal(array_from_text(text, array.dtype, "x"), array, strict=True)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (2, 0), (2, 3, 0)])
def test_lists_without_elements_have_a_shape(shape: tuple[int, ...]) -> None:
    text = json.dumps(np.zeros(shape).tolist()).replace("[]", "[ ]").encode()
    assert array_from_text(text, FLOAT, "x").shape == shape


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2],[3]]",
        "[[1],2]",
        "[1,[2]]",
        "[[],[1]]",
        "[[1],[]]",
        "[[1,[2]],[3,4]]",
        "[[[1,2]],[[3],[4]]]",
        "[[1,2],[]]",
    ],
)
def test_lists_that_differ_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="input 'x' is ragged"):
        array_from_text(text.encode(), FLOAT, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1,2],[3,null]]", r"input 'x' holds None at \[1, 1\]; float32 takes numbers"),
        ("[1,2,3,true]", r"input 'x' holds True at \[3\]; float32 takes numbers"),
        ("[[1],[1e40]]", r"input 'x' holds 1e\+40 at \[1, 0\], which is out of the range of float32"),
        ('[1,2,"1.5"]', "input 'x' holds '\"1.5\"]'... as element 2; float32 takes no text"),
        ('[{"a":[1,2]}]', "as element 0; float32 takes no text"),
        ("[" * 65 + "1" + "]" * 65, "nested deeper than 64"),
        ("[1,1e999]", "out of range"),
        ("17777", None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(text: str, message: str | None) -> None:
    if message is None:
        assert array_from_text(text.encode(), FLOAT, "x") == 17777
        return
    with pytest.raises(InvalidInput, match=message):
        array_from_text(text.encode(), FLOAT, "x")


def test_nan_and_infinities_are_read() -> None:
    array = array_from_text(b"[NaN,1,-Infinity,Infinity]", FLOAT, "x")
    np.testing.assert_array_equal(array, [np.nan, 1, -np.inf, np.inf])


@given(st.recursive(st.integers() | st.text('ab"\\,:[é\n'), lambda inner: st.lists(inner, min_size=1), max_leaves=8))
def test_elements_are_counted_in_the_text(value: Any) -> None:
    flat = json.dumps(value)
    leaves: list[Any] = []

    def collect(one: Any) -> None:
        if isinstance(one, list):
            for inner in one:
                collect(inner)
        else:
            leaves.append(one)

    collect(value)
    texts = [leaf for leaf in leaves if isinstance(leaf, str)]
    assert count_elements(flat.encode()) == (len(texts) if texts else len(leaves))


def test_a_piece_that_is_mostly_spaces_takes_no_memory_of_a_parser() -> None:
    assert number_reader(FLOAT)(b"[1,%b2]" % (b" " * json_numbers.LONGEST)) is None
    assert array_from_text(b"[1,%b2]" % (b" " * json_numbers.LONGEST), FLOAT, "x").tolist() == [1, 2]
