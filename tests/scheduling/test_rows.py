"""Rows are joined and divided without loss."""

import numpy as np
import pytest

from mlbuffet import Signature, TensorSpec
from mlbuffet.scheduling.rows import divided, has_rows, joined, row_count, takes

ONE = {"a": np.array([[1, 2]]), "b": np.array([b"x"], object)}
TWO = {"a": np.array([[3, 4], [5, 6]]), "b": np.array([b"y", b""], object)}


def test_rows_come_back_as_they_were_and_in_memory_of_their_own() -> None:
    batch = joined([ONE, TWO], 3)
    for part, before in zip(divided(batch, [1, 2]), [ONE, TWO], strict=True):
        for name, array in before.items():
            np.testing.assert_array_equal(part[name], array)
            assert part[name].dtype == array.dtype
            assert not np.may_share_memory(part[name], batch[name])


def test_the_last_row_fills_a_batch_up() -> None:
    batch = joined([ONE, TWO], 5)
    assert batch["a"].tolist() == [[1, 2], [3, 4], [5, 6], [5, 6], [5, 6]]
    assert batch["b"].tolist() == [b"x", b"y", b"", b"", b""]


@pytest.mark.parametrize(
    ("shapes", "count"),
    [([(2, 3), (2,)], 2), ([(2, 3), (3, 2)], 0), ([(2,), ()], 0), ([()], 0), ([(0, 2)], 0), ([], 0)],
)
def test_only_inputs_of_as_many_rows_have_rows(shapes: list[tuple[int, ...]], count: int) -> None:
    assert row_count({str(number): np.zeros(shape) for number, shape in enumerate(shapes)}) == count


def test_outputs_without_the_rows_are_noticed() -> None:
    assert has_rows({"y": np.zeros((3, 2)), "z": np.zeros(3)}, 3)
    assert not has_rows({"y": np.zeros((3, 2)), "z": np.zeros(2)}, 3)
    assert not has_rows({"y": np.zeros(())}, 3)


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("x", np.zeros((1, 2), np.float32), True),
        ("x", np.zeros((1, 2), np.float64), False),
        ("x", np.zeros((1, 3), np.float32), False),
        ("x", np.zeros(2, np.float32), False),
        ("x", [[0, 0]], False),
        ("z", np.zeros((1, 2), np.float32), False),
    ],
)
def test_a_signature_takes_arrays_as_it_declares_them(name: str, value: object, fits: object) -> None:
    spec = TensorSpec("x", np.float32, (None, 2))
    assert takes(Signature([spec], []), {name: value}) is fits
