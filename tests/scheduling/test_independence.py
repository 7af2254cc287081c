"""Models whose rows depend on each other are told from those whose rows do not."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlbuffet import LoadFailed, Model, ParameterSpec, Signature, Signatures, Tensors, TensorSpec
from mlbuffet.scheduling import Batching, Limits, Scheduling
from mlbuffet.scheduling.independence import check_rows_independent, forms

X = TensorSpec("x", np.float32, (None, 4))
Y = TensorSpec("y", np.float32, (None, None))
WEIGHTS = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
Function = Callable[[Any], Any]
ModelOf = Callable[..., Model]


def on_x(function: Function) -> Callable[[Tensors], Tensors]:
    return lambda inputs: {"y": function(inputs["x"])}


def check(model: Model, samples: Any = None) -> None:
    check_rows_independent(model, "serving_default", model.signatures["serving_default"], samples)


INDEPENDENT: dict[str, Function] = {
    "a product of matrices": lambda x: x @ WEIGHTS,
    "a softmax of each row": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "not a number": lambda x: np.where(x > 0, np.float32("nan"), np.float32("inf")),
    "sums in another order for a batch": lambda x: x @ WEIGHTS + np.float32(1e-6 * (len(x) > 1)),
}
_calls = iter(range(1000))
DEPENDENT: dict[str, Function] = {
    "centred by the batch": lambda x: x - x.mean(axis=0),
    "a softmax of the batch": lambda x: np.exp(x) / np.exp(x).sum(),
    "scaled by the largest of the batch": lambda x: np.round(x / np.abs(x).max() * 127).astype(np.float32),
    "numbered": lambda x: x + np.arange(len(x), dtype=np.float32)[:, None],
    "what stands before": lambda x: np.roll(x, 1, axis=0),
    "sorted": lambda x: np.sort(x, axis=0),
    "at random": lambda x: x + np.float32(next(_calls)),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_rows_that_do_not_depend_on_each_other_may_share_a_batch(model_of: ModelOf, name: str) -> None:
    check(model_of(on_x(INDEPENDENT[name]), Signature([X], [Y])))


@pytest.mark.parametrize("name", DEPENDENT)
def test_rows_that_depend_on_each_other_may_not(model_of: ModelOf, name: str) -> None:
    with pytest.raises(LoadFailed, match="output 'y' of a row depends on the rows beside it, or on chance"):
        check(model_of(on_x(DEPENDENT[name]), Signature([X], [Y])))


@pytest.mark.parametrize(
    ("dtype", "error", "fits"),
    [
        (np.float32, 1e-5, True),
        (np.float32, 1e-2, False),
        (np.float64, 1e-5, True),
        (np.float16, 1e-2, True),
        (ml_dtypes.bfloat16, 2e-2, True),
        (ml_dtypes.bfloat16, 0.5, False),
        (np.complex64, 1e-5, True),
        (np.int32, 1, False),
    ],
)
def test_a_batch_may_differ_in_the_last_bits_of_a_dtype(
    model_of: ModelOf, dtype: Any, error: float, fits: object
) -> None:
    x, y = (TensorSpec(name, dtype, (None, 4)) for name in "xy")
    model = model_of(on_x(lambda x: x + np.dtype(dtype).type(error if len(x) > 1 else 0)), Signature([x], [y]))
    if fits:
        return check(model)
    with pytest.raises(LoadFailed, match="depends on the rows"):
        check(model)
    return None


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        (Signature([TensorSpec("x", np.float32, (1, 4))], [Y]), r"x: float32 \(1, 4\) has no first axis of any size"),
        (Signature([X], [TensorSpec("y", np.float32, ())]), r"y: float32 \(\) has no first axis of any size"),
        (Signature([X], [TensorSpec("y", np.float32, None)]), "y: float32 any rank has no first axis of any size"),
        (Signature([], [Y]), "it has no inputs or no outputs"),
    ],
)
def test_each_tensor_has_a_free_first_axis(model_of: ModelOf, signature: Signature, problem: str) -> None:
    with pytest.raises(LoadFailed, match=problem):
        check(model_of(on_x(np.copy), signature))


def test_a_row_gives_a_row(model_of: ModelOf) -> None:
    with pytest.raises(LoadFailed, match="it does not give a row for each row"):
        check(model_of(on_x(lambda x: np.repeat(x, 2, axis=0)), Signature([X], [Y])))


def picky(inputs: Tensors) -> Tensors:
    if (inputs["x"] != np.round(inputs["x"])).any():
        raise ValueError("at /a/secret/path")
    return {"y": inputs["x"]}


def test_a_model_that_takes_no_random_rows_is_tried_with_those_that_it_takes(model_of: ModelOf) -> None:
    model = model_of(picky, Signature([X], [Y]))
    with pytest.raises(LoadFailed, match=r"give it three that it takes as inputs of \[warmup\]") as refused:
        check(model)
    assert "secret" not in refused.value.public
    check(model, {"x": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3]]})
    with pytest.raises(LoadFailed, match=r"the inputs of \[warmup\] are not three rows or more"):
        check(model, {"x": [[1, 2, 3, 4]]})


BOTH = Signatures({"serving_default": Signature([X], [TensorSpec("y", np.float32, ())]), "rows": Signature([X], [Y])})


def test_the_signatures_that_can_are_batched_and_the_log_says_why_others_are_not(
    model_of: ModelOf, scheduling: Scheduling, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    scheduler = scheduling.scheduler(model_of(on_x(np.copy), BOTH), Limits(), Batching())
    assert (scheduler.batching("serving_default"), scheduler.batching("rows")) == (None, Batching())
    assert "calls of signature 'serving_default' cannot be batched" in caplog.text


def test_a_model_that_cannot_be_batched_is_refused_only_where_it_was_meant(model_of: ModelOf) -> None:
    model = model_of(on_x(DEPENDENT["centred by the batch"]), Signature([X], [Y]))
    every = Scheduling(batching=True)
    assert every.scheduler(model, Limits()).batching("serving_default") is None
    with pytest.raises(LoadFailed, match="depends on the rows"):
        every.scheduler(model, Limits(), Batching())
    every.close()


def test_a_model_that_can_be_batched_need_not_be(model_of: ModelOf) -> None:
    model = model_of(on_x(np.copy), Signature([X], [Y]))
    every = Scheduling(batching=True)
    assert every.scheduler(model, Limits()).batching("serving_default") == Batching()
    assert every.scheduler(model, Limits(), Batching(max_size=1)).batching("serving_default") is None
    every.close()


def added(inputs: Tensors) -> Tensors:
    return {"y": inputs["x"] + inputs.get("shift", np.float32(0))}


NAMED = TensorSpec("x", np.float32, ("batch", 4))
SHIFT = TensorSpec("shift", np.float32, ("batch", 1), optional=True)
WEIGHTS_TOO = TensorSpec("weights", np.float32, (4, 4), optional=True)


def test_a_named_first_dimension_is_of_any_size(model_of: ModelOf) -> None:
    check(model_of(on_x(np.copy), Signature([NAMED], [TensorSpec("y", np.float32, ("batch", 4))])))


def test_rows_are_the_first_dimension_of_all_inputs(model_of: ModelOf) -> None:
    state = TensorSpec("state", np.float32, ("layers", "batch"))
    with pytest.raises(LoadFailed, match="its rows are the dimension 'batch', which is an inner one as well"):
        check(model_of(on_x(np.copy), Signature([NAMED, state], [Y])))


@pytest.mark.parametrize(
    ("inputs", "sets"),
    [
        ([X], [["x"]]),
        ([NAMED, WEIGHTS_TOO], [["x"]]),
        ([NAMED, SHIFT], [["x"], ["x", "shift"]]),
        ([WEIGHTS_TOO, SHIFT, NAMED], [["x"], ["shift", "x"]]),
        ([SHIFT], [[], ["shift"]]),
        ([WEIGHTS_TOO], [[]]),
    ],
)
def test_optional_inputs_that_have_rows_make_batches_of_their_own(
    inputs: list[TensorSpec], sets: list[list[str]]
) -> None:
    assert [list(form.inputs) for form in forms(Signature(inputs, [Y]))] == sets


def test_a_set_of_inputs_has_the_parameters_of_its_signature() -> None:
    signature = Signature(
        [NAMED, SHIFT], [Y], "regress", parameters={"factor": ParameterSpec(float)}, description="Adds."
    )
    for form in forms(signature):
        assert (form.parameters, form.method, form.description) == (signature.parameters, "regress", "Adds.")


def test_what_depends_on_other_rows_with_an_optional_input_is_batched_without_it(
    model_of: ModelOf, scheduling: Scheduling, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def centred(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] - (inputs["shift"].mean() if "shift" in inputs else np.float32(0))}

    scheduler = scheduling.scheduler(model_of(centred, Signature([NAMED, SHIFT], [Y])), Limits(), Batching())
    assert scheduler.batching("serving_default") == Batching()
    assert "depends on the rows beside it" in caplog.text


def test_samples_of_optional_inputs_are_tried_where_they_are_batched(model_of: ModelOf) -> None:
    model = model_of(added, Signature([NAMED, SHIFT], [Y]))
    samples = {"x": np.ones((3, 4), np.float32), "shift": np.ones((3, 1), np.float32)}
    for form in forms(model.signatures["serving_default"]):
        check_rows_independent(model, "serving_default", form, samples)
