"""The features of a model are one matrix, or where some are categories one input for each."""

import numpy as np
import pytest

from mlbuffet import InvalidInput
from mlbuffet.tensors import Categories, Features, specs_of_rows

TOWNS = {"Ōsaka".encode(): 0.0, b"Oslo": 1.0}
REFUSED = Categories(TOWNS, "empty text where it is missing", missing=b"")
MISSING = Categories({10: 0.0, 2**60: 1.0}, "any other counts as missing", unknown=True)


def test_numbers_alone_are_a_matrix_in_plain_memory() -> None:
    features = Features(["a", "幅"], np.float32)
    (spec,) = features.specs
    assert (str(spec), spec.labels) == ("features: float32 (batch, 2)", ("a", "幅"))
    strided = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    matrix = features.matrix({"features": strided})
    assert matrix.flags.c_contiguous
    assert np.array_equal(matrix, strided)


def test_categories_are_an_input_for_each_feature() -> None:
    features = Features(["town", "x", "size"], np.float64, {0: REFUSED, 2: MISSING})
    assert list(map(str, features.specs)) == ["town: bytes (batch,)", "x: float64 (batch,)", "size: int64 (batch,)"]
    assert features.specs[0].description == "a category, of Ōsaka, Oslo; empty text where it is missing"
    sent = {
        "town": np.array([b"Oslo", b"", "Ōsaka".encode()], object),
        "x": np.array([0.5, np.nan, -1.0]),
        "size": np.array([2**60, 10, 11]),
    }
    expected = [[1.0, 0.5, 1.0], [np.nan, np.nan, 0.0], [0.0, -1.0, np.nan]]
    assert np.array_equal(features.matrix(sent), expected, equal_nan=True)
    assert features.matrix({name: array[:0] for name, array in sent.items()}).shape == (0, 3)


@pytest.mark.parametrize("value", [b"Rome", b"\xff"])
def test_what_is_no_category_is_refused_unless_it_counts_as_missing(value: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"input 'town' has the category '.*', with which the model was not trained"):
        REFUSED.encoded(np.array([value], object), "town")


def test_outputs_of_rows_are_described_by_an_example() -> None:
    specs = specs_of_rows({"label": np.zeros(1, np.int64), "p": np.zeros((1, 2))}, {"p": ["no", "yes"]})
    assert list(map(str, specs)) == ["label: int64 (batch,)", "p: float64 (batch, 2)"]
    assert [spec.labels for spec in specs] == [(), ("no", "yes")]
