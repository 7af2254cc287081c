"""Two models are held against each other, number by number."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidInput, Model, Runtimes, Signature, Signatures, TensorSpec, hookimpl
from mlbuffet.comparison import Difference, Tolerance, compare, random_inputs

X = TensorSpec("x", np.float32, (None, 2))
ML_DTYPES = [one for one in vars(ml_dtypes).values() if isinstance(one, type) and issubclass(one, np.generic)]
CLOSE = Tolerance(absolute=1e-5, relative=1e-4)


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Model]:
    """A function that makes a model of one input, from its signature and what it answers."""

    def make(answer: Callable[[Any], Mapping[str, Any]], spec: TensorSpec = X, name: str = "serving_default") -> Model:
        class Runtime:
            @hookimpl
            def accepts(self, path: Path) -> bool:
                return True

            @hookimpl
            def load(self) -> object:
                return object()

            @hookimpl
            def signature(self) -> Signatures:
                outputs = answer(np.zeros([2 if size is None else size for size in spec.shape or ()], spec.dtype))
                declared = [TensorSpec(key, value.dtype, None) for key, value in outputs.items()]
                return Signatures({name: Signature([spec], declared)}, default=name)

            @hookimpl
            def predict(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
                return answer(inputs[spec.name])

        runtimes = Runtimes()
        runtimes.register(Runtime, name="made")
        return mlbuffet.load(tmp_path, runtimes=runtimes)

    return make


def differences(one: Model, two: Model, value: Any = ((1, 2), (3, 4))) -> list[Difference]:
    name = next(iter(one.signatures[one.signatures.resolve(None)].inputs))
    return compare(one, two, {name: [list(row) for row in value]}, signature=None, tolerance=CLOSE)


def test_the_same_model_differs_in_nothing(model: Callable[..., Model]) -> None:
    one = model(lambda x: {"y": x * 2, "n": x > 1})
    assert [(d.output, d.absolute, d.relative, d.agrees) for d in differences(one, one)] == [
        ("y", 0.0, 0.0, True),
        ("n", 0.0, 0.0, True),
    ]


@pytest.mark.parametrize(("error", "agrees"), [(1e-6, True), (1e-2, False)])
def test_the_largest_difference_is_held_against_the_tolerance(
    model: Callable[..., Model], error: float, *, agrees: bool
) -> None:
    (difference,) = differences(model(lambda x: {"y": x}), model(lambda x: {"y": x + np.float32(error) * (x == 4)}))
    assert difference.absolute == pytest.approx(error, rel=0.2)
    assert difference.relative == pytest.approx(error / 4, rel=0.2)
    assert difference.agrees is agrees


def test_tensors_are_paired_in_order_and_precision_where_the_names_differ(model: Callable[..., Model]) -> None:
    single = model(lambda x: {"a": x * 2, "b": x * 3})
    double = model(lambda v: {"c": v * 2, "d": v * 3}, TensorSpec("v", np.float64, (None, 2)), name="other")
    found = differences(double, single)
    assert [(one.output, one.other, one.agrees) for one in found] == [("c", "a", True), ("d", "b", True)]


def test_models_with_other_numbers_of_tensors_cannot_be_compared(model: Callable[..., Model]) -> None:
    with pytest.raises(InvalidInput, match="differ in their outputs: y: float32 any rank; and a: float32"):
        differences(model(lambda x: {"y": x}), model(lambda x: {"a": x, "b": x}))


def test_nan_and_infinity_agree_with_themselves_alone(model: Callable[..., Model]) -> None:
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    one = model(lambda x: {"y": odd})
    assert differences(one, one)[0].agrees
    assert not differences(one, model(lambda x: {"y": np.abs(odd)}))[0].agrees
    assert not differences(one, model(lambda x: {"y": np.zeros(3, np.float32)}))[0].agrees


@pytest.mark.parametrize(
    ("one", "two", "agrees", "reason"),
    [
        (np.array([b"a", b"b"], object), np.array([b"a", b"b"], object), True, "the same text"),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), False, "1 of 2 texts differ"),
        (np.array([b"a"], object), np.array([1.0]), False, "bytes and float64"),
        (np.zeros((1, 2)), np.zeros((2, 1)), False, "shapes (1, 2) and (2, 1)"),
        (np.zeros(2, np.complex64), np.zeros(2, np.complex64), True, ""),
        (np.ones(2, ml_dtypes.bfloat16), np.ones(2, np.float32), True, ""),
        (np.zeros(0), np.zeros(0), True, ""),
    ],
)
def test_what_is_not_numbers_of_one_shape_is_told(
    model: Callable[..., Model], one: Any, two: Any, *, agrees: bool, reason: str
) -> None:
    (difference,) = differences(model(lambda x: {"y": one}), model(lambda x: {"y": two}))
    assert (difference.agrees, difference.reason) == (agrees, reason)


@pytest.mark.parametrize("dtype", ML_DTYPES)
def test_random_inputs_of_small_types_are_numbers_in_their_range(dtype: Any) -> None:
    values = random_inputs(Signature([TensorSpec("x", dtype, [50])], []), 1)["x"].astype(np.float32)
    assert np.isfinite(values).all()
    assert dtype.__name__.startswith("float") or dtype is ml_dtypes.bfloat16 or 0 <= values.min() < values.max() <= 9


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float16, np.float64, np.complex64, object])
@pytest.mark.parametrize("shape", [None, (), (None, 2), (2, 3)])
def test_random_inputs_fit_the_signature_and_follow_from_the_seed(dtype: Any, shape: Any) -> None:
    signature = Signature([TensorSpec("x", dtype, shape)], [])
    inputs, again, other = (random_inputs(signature, seed) for seed in (1, 1, 2))
    signature.check_inputs(inputs)
    np.testing.assert_array_equal(inputs["x"], again["x"])
    if inputs["x"].size > 1 and dtype is not np.bool_:
        assert not np.array_equal(inputs["x"], other["x"])


def test_integers_are_held_against_no_tolerance(model: Callable[..., Model]) -> None:
    one = model(lambda x: {"token": np.full(len(x), 32000)})
    two = model(lambda x: {"token": np.array([32000, 32001])})
    (difference,) = differences(one, two)
    assert (difference.absolute, difference.agrees) == (1.0, False)
    assert difference.reason == "1 of 2 differ, and int64 must be equal"


def test_the_other_model_may_be_asked_by_another_signature(model: Callable[..., Model]) -> None:
    one, two = model(lambda x: {"y": x}), model(lambda x: {"y": x}, name="embed")
    inputs = {"x": [[1, 2]]}
    (difference,) = compare(one, two, inputs, signature=None, other_signature="embed", tolerance=CLOSE)
    assert difference.agrees
    with pytest.raises(InvalidInput, match="of the model to compare with, there is no signature 'lost'"):
        compare(one, two, inputs, signature=None, other_signature="lost", tolerance=CLOSE)


def test_optional_inputs_are_held_against_each_other_only_where_they_are_given(
    model: Callable[..., Model], tmp_path: Path
) -> None:
    class Shifted:
        @hookimpl
        def accepts(self) -> bool:
            return True

        @hookimpl
        def load(self) -> object:
            return object()

        @hookimpl
        def signature(self) -> Signatures:
            shift = TensorSpec("shift", np.float32, (2,), optional=True)
            return Signatures({"serving_default": Signature([X, shift], [TensorSpec("z", np.float32, (None, 2))])})

        @hookimpl
        def predict(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"z": inputs["x"] + inputs.get("shift", np.float32(0))}

    runtimes = Runtimes()
    runtimes.register(Shifted, name="shifted")
    shifted = mlbuffet.load(tmp_path, runtimes=runtimes)
    plain = model(lambda x: {"y": x})
    inputs = random_inputs(shifted.signatures["serving_default"], seed=0)
    for pair in ((shifted, plain), (plain, shifted), (shifted, shifted)):
        assert all(one.agrees for one in compare(*pair, inputs, signature=None, tolerance=CLOSE))
    with pytest.raises(InvalidInput, match="the models differ in their inputs"):
        compare(shifted, plain, {**inputs, "shift": np.ones(2, np.float32)}, signature=None, tolerance=CLOSE)
