"""Two calls have one key where they are the same call of the same content, and never otherwise."""

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlbuffet import Tensors, TensorSpec
from mlbuffet.caching import Question

Y, Z = (TensorSpec(name, np.float32, None) for name in "yz")


def texts(*elements: bytes, shape: tuple[int, ...] | None = None) -> np.ndarray:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape or array.shape)


def question(inputs: Tensors, **changes: Any) -> Question:
    plain = Question(model="m", content=b"c", signature="s", outputs={"y": Y}, inputs=inputs, seconds=60)
    return replace(plain, **changes)


ONE = {"x": np.array([1.0, 2.0], np.float32)}
DIFFERENT = {
    "plain": question(ONE),
    "another model": question(ONE, model="m2"),
    "a name that runs into the content": question(ONE, model="mc", content=b""),
    "other content": question(ONE, content=b"d"),
    "another signature": question(ONE, signature="t"),
    "a signature that runs into the outputs": question(ONE, signature="sy", outputs={}),
    "no outputs": question(ONE, outputs={}),
    "another output": question(ONE, outputs={"z": Z}),
    "two outputs": question(ONE, outputs={"y": Y, "z": Z}),
    "their order": question(ONE, outputs={"z": Z, "y": Y}),
    "outputs that run together": question(ONE, outputs={"yz": Y}),
    "no inputs": question({}),
    "another name": question({"x1": ONE["x"]}),
    "another value": question({"x": np.array([1.0, 3.0], np.float32)}),
    "another shape": question({"x": ONE["x"].reshape(1, 2)}),
    "another rank": question({"x": ONE["x"].reshape(2, 1)}),
    "the same bytes as integers": question({"x": ONE["x"].view(np.int32)}),
    "the same bytes as more of them": question({"x": ONE["x"].view(np.uint16)}),
    "bfloat16": question({"x": ONE["x"].view(np.uint16).view(ml_dtypes.bfloat16)}),
    "float16": question({"x": ONE["x"].view(np.float16)}),
    "two inputs": question({**ONE, "z": ONE["x"]}),
    "nothing in it": question({"x": np.zeros((0,), np.float32)}),
    "nothing in rows": question({"x": np.zeros((0, 2), np.float32)}),
    "a scalar": question({"x": np.array(1.0, np.float32)}),
    "zero": question({"x": np.array([0.0], np.float32)}),
    "minus zero": question({"x": np.array([-0.0], np.float32)}),
    "texts": question({"x": texts(b"ab", b"c")}),
    "texts that run together": question({"x": texts(b"a", b"bc")}),
    "one text": question({"x": texts(b"abc")}),
    "an empty text after it": question({"x": texts(b"abc", b"")}),
    "an empty text before it": question({"x": texts(b"", b"abc")}),
    "a NUL": question({"x": texts(b"abc\0")}),
    "texts in a column": question({"x": texts(b"ab", b"c", shape=(2, 1))}),
}


def test_whatever_differs_makes_another_key() -> None:
    names: dict[bytes, list[str]] = {}
    for name, one in DIFFERENT.items():
        names.setdefault(one.key, []).append(name)
    assert [equal for equal in names.values() if len(equal) > 1] == []


@pytest.mark.parametrize(
    "same",
    [
        question({"x": np.array([[1, 9], [2, 9]], np.float32)[:, 0]}),
        question({"x": np.asfortranarray(ONE["x"])}),
        question(ONE, seconds=5),
        question(ONE, outputs={"y": TensorSpec("y", np.float64, (1,))}),
    ],
    ids=["strided", "by columns", "kept for less long", "declared otherwise"],
)
def test_what_does_not_change_the_answer_does_not_change_the_key(same: Question) -> None:
    assert same.key == DIFFERENT["plain"].key


def test_the_order_in_which_inputs_are_named_does_not_matter() -> None:
    z = np.array([3], np.int64)
    assert question({"x": ONE["x"], "z": z}).key == question({"z": z, "x": ONE["x"]}).key


def test_the_padding_of_long_doubles_is_no_part_of_a_key() -> None:
    noise = np.full(3 * np.dtype(np.longdouble).itemsize, 7, np.uint8).view(np.longdouble)
    noise[:] = [1, 2, 3]  # which may leave the rest of each as it was
    zeros = np.zeros(3, np.longdouble)
    zeros[:] = [1, 2, 3]
    assert question({"x": noise}).key == question({"x": zeros}).key
    assert question({"x": noise}).key != question({"x": zeros + 1}).key


def test_parameters_are_part_of_the_key() -> None:
    ones: list[dict[str, Any]] = [{}, {"a": 1.0}, {"a": 2.0}, {"a": "1.0"}, {"b": 1.0}, {"a": 1.0, "b": 1.0}]
    assert len({question(ONE, parameters=parameters).key for parameters in ones}) == len(ones)
    assert question(ONE, parameters={"a": 1.0}).key == question(ONE, parameters={"a": 1.0}).key
