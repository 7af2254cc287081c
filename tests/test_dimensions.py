"""Dimensions of one name have one size in the inputs of a call, and outputs have the shapes that are declared."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbuffet import InvalidInput, Signature, TensorSpec
from mlbuffet.comparison import random_inputs

DIMENSIONS = st.none() | st.integers(0, 3) | st.sampled_from(["batch", "time", "n"])
SHAPES = st.lists(DIMENSIONS, max_size=3).map(tuple) | st.none()


def specs(shapes: list[Any], optional: Any = ()) -> list[TensorSpec]:
    return [
        TensorSpec(f"x{position}", np.float32, shape, optional=position in optional)
        for position, shape in enumerate(shapes)
    ]


def arrays(shapes: list[tuple[int, ...]], names: str = "x") -> dict[str, Any]:
    return {f"{names}{position}": np.zeros(shape, np.float32) for position, shape in enumerate(shapes)}


@pytest.mark.parametrize(
    ("declared", "came", "message"),
    [
        ([("batch", 4), ("batch",)], [(2, 4), (3,)], "'x1' has 3 for the dimension 'batch', and input 'x0' has 2; the"),
        ([("n", "n")], [(2, 3)], "input 'x0' has both 2 and 3 for the dimension 'n'; the model takes tensors in which"),
        ([("a", "b"), ("b", "a")], [(1, 2), (2, 3)], "'x1' has 3 for the dimension 'a', and input 'x0' has 1"),
        ([("a",), (None,), ("a",)], [(1,), (5,), (0,)], "'x2' has 0 for the dimension 'a', and input 'x0' has 1"),
    ],
)
def test_inputs_whose_sizes_differ_are_named_with_both_sizes(declared: Any, came: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Signature(specs(declared), []).check_inputs(arrays(came))
    assert message in str(refused.value)


def test_sizes_of_inputs_that_are_left_out_do_not_count() -> None:
    signature = Signature(specs([("n",), ("n",), ("n",)], optional={0, 2}), [])
    assert list(signature.check_inputs({"x1": np.zeros(2, np.float32)})) == ["x1"]
    with pytest.raises(InvalidInput, match="'x2' has 3 for the dimension 'n', and input 'x1' has 2"):
        signature.check_inputs({"x2": np.zeros(3, np.float32), "x1": np.zeros(2, np.float32)})


def test_where_any_shape_is_taken_names_do_not_count() -> None:
    signature = Signature(specs([("n",), ("n",)]), [])
    assert signature.check_inputs(arrays([(2,), (3, 1)]), any_shape=True)


@given(shapes=st.lists(SHAPES, max_size=4), optional=st.sets(st.integers(0, 3)), draw=st.data())
def test_arrays_are_taken_if_and_only_if_each_name_has_one_size(
    shapes: list[Any], optional: set[int], draw: st.DataObject
) -> None:
    signature = Signature(specs(shapes, optional), [])
    came, found, fits = dict[str, Any](), dict[str, set[int]](), True
    for position, shape in enumerate(shapes):
        if position in optional and draw.draw(st.booleans()):
            continue
        actual = tuple(draw.draw(st.integers(1, 2)) for _ in shape or ())
        for dimension, size in zip(shape or (), actual, strict=True):
            if isinstance(dimension, str):
                found.setdefault(dimension, set()).add(size)
            fits = fits and (not isinstance(dimension, int) or dimension == size)
        came[f"x{position}"] = np.zeros(actual, np.float32)
    fits = fits and all(len(one) == 1 for one in found.values())
    try:
        signature.check_inputs(came)
    except InvalidInput:
        assert not fits
    else:
        assert fits


@given(shapes=st.lists(SHAPES, max_size=4), optional=st.sets(st.integers(0, 3)))
def test_random_inputs_fit(shapes: list[Any], optional: set[int]) -> None:
    signature = Signature(specs(shapes, optional), [])
    made = random_inputs(signature, seed=0)
    assert signature.check_inputs(made).keys() == {name for name, spec in signature.inputs.items() if not spec.optional}


@pytest.mark.parametrize(
    ("inputs", "outputs", "given_shapes", "came", "problem"),
    [
        ([], [(None, 3)], [], [(1, 1, 7)], "its output 'x0' has shape (1, 1, 7), and its signature says (any, 3)"),
        ([], [("n", 3)], [], [(1, 7)], "its output 'x0' has shape (1, 7), and its signature says (n, 3)"),
        ([], [None, ()], [], [(1, 7), ()], None),
        ([], [(3, None, 2)], [], [(3, 9, 2)], None),
        ([("n",)], [("n", 3)], [(2,)], [(2, 3)], None),
        ([("n",)], [("n", 3)], [(2,)], [(1, 3)], "its output 'x0' has 1 for the dimension 'n', and input 'x0' has 2"),
        ([("n",)], [("k", 3), ("k",)], [(9,)], [(2, 3), (2,)], None),
        ([], [("k",), ("k",)], [], [(2,), (3,)], "its output 'x1' has 3 for the dimension 'k', and output 'x0' has 2"),
        ([], [("k", "k")], [], [(2, 3)], "its output 'x0' has 3 for the dimension 'k', and output 'x0' has 2"),
    ],
)
def test_the_shapes_of_outputs_are_held_against_what_is_declared_and_what_was_given(
    inputs: Any, outputs: Any, given_shapes: Any, came: Any, problem: str | None
) -> None:
    signature = Signature(specs(inputs), specs(outputs))
    assert signature.output_shapes.misfit(arrays(given_shapes), arrays(came)) == problem


def test_an_output_is_held_against_an_input_that_is_certain_to_be_there() -> None:
    signature = Signature(specs([("n",), ("n",)], optional={0}), [TensorSpec("y", np.float32, ("n",))])
    y = {"y": np.zeros(1)}
    assert signature.output_shapes.misfit({"x1": np.zeros(1)}, y) is None
    assert "input 'x1' has 2" in str(signature.output_shapes.misfit({"x1": np.zeros(2)}, y))


def test_an_output_whose_size_follows_from_an_input_that_was_left_out_may_have_any() -> None:
    signature = Signature(specs([("n",)], optional={0}), [TensorSpec("y", np.float32, ("n",))])
    assert signature.output_shapes.misfit({}, {"y": np.zeros(5)}) is None
