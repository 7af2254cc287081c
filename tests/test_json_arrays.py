"""Long lists are read a piece at a time, to the same arrays as short ones."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlbuffet import InvalidInput, json_arrays
from mlbuffet.json_arrays import array_from_text, count_elements

FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_arrays, "PIECE", 2)


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
