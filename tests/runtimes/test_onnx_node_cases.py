"""The ONNX project's own test cases of its operators, run through MLBuffet and through bare onnxruntime."""

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

import mlbuffet

Answer = Callable[[TestCase, dict[str, Any]], Sequence[Any]]

NEWEST_OPSET = 26  # that onnxruntime 1.31 reads; onnx is ahead of it, mostly with the same operators
NEWEST_IR_VERSION = 13
ONE_THREAD = {"intra_op_threads": 1}


@pytest.fixture(scope="module")
def tensor_cases() -> list[TestCase]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns while onnx computes what is expected
        cases = [case for case in collect_testcases(None) if has_tensors_only(case)]
    for case in cases:
        restamp(case)
    return cases


@pytest.fixture(scope="module")
def runtimes() -> mlbuffet.Runtimes:
    registry = mlbuffet.Runtimes()
    registry.discover()
    return registry


def test_every_operator_case_that_bare_onnxruntime_passes_passes_here(
    tensor_cases: list[TestCase], runtimes: mlbuffet.Runtimes, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"

    def served(case: TestCase, inputs: dict[str, Any]) -> Sequence[Any]:
        assert case.model is not None
        path.write_bytes(case.model.SerializeToString())
        with mlbuffet.load(path, runtime="onnx", options=ONE_THREAD, runtimes=runtimes) as model:
            return list(model.predict({name: as_bytes(array) for name, array in inputs.items()}).values())

    passed_bare = {case.name for case in tensor_cases if passes(case, bare)}
    loaded = {case.name for case in tensor_cases if has_small_elements(case) and loads(case)}
    passed_here = {case.name for case in tensor_cases if passes(case, served)}
    sys.stdout.write(
        f"{len(tensor_cases)} cases: bare onnxruntime passes {len(passed_bare)} by session.run and loads "
        f"{len(loaded)} with elements that session.run cannot pass; MLBuffet passes {len(passed_here)}\n"
    )
    assert sorted((passed_bare | loaded) - passed_here) == []
    assert len(passed_here) >= 1668


def restamp(case: TestCase) -> None:
    assert case.model is not None
    case.model.ir_version = min(case.model.ir_version, NEWEST_IR_VERSION)
    for opset in case.model.opset_import:
        if not opset.domain:
            opset.version = min(opset.version, NEWEST_OPSET)


def session_of(case: TestCase) -> onnxruntime.InferenceSession:
    assert case.model is not None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(case.model.SerializeToString(), options)


def bare(case: TestCase, inputs: dict[str, Any]) -> Sequence[Any]:
    answers: Sequence[Any] = session_of(case).run(None, inputs)
    return answers


def has_small_elements(case: TestCase) -> bool:
    assert case.model is not None
    declared = (*case.model.graph.input, *case.model.graph.output)
    return any(value.type.tensor_type.elem_type >= TensorProto.BFLOAT16 for value in declared)


def loads(case: TestCase) -> bool:
    try:
        session_of(case)
    except Exception:  # noqa: BLE001 whatever the reason, it has not been loaded
        return False
    return True


def passes(case: TestCase, answer: Answer) -> bool:
    assert case.model is not None
    initializers = {tensor.name for tensor in case.model.graph.initializer}
    names = [value.name for value in case.model.graph.input if value.name not in initializers]
    try:
        for given, expected in case.data_sets or []:
            inputs = dict(zip(names, map(array_of, given), strict=True))
            answers = answer(case, inputs)
            if not all(agrees(case, *pair) for pair in zip(answers, map(array_of, expected), strict=True)):
                return False
    except Exception:  # noqa: BLE001 whatever the reason, it has not passed
        return False
    return True


def agrees(case: TestCase, came: Any, expected: NDArray[Any]) -> bool:
    if came.shape != expected.shape:
        return False
    if expected.dtype.kind == "O":
        return bool(np.array_equal(as_bytes(came), as_bytes(expected)))
    if came.dtype != expected.dtype:
        return False
    if came.dtype.kind in "fV":  # the small floats of ml_dtypes are of kind V
        came, expected = came.astype(np.float64), expected.astype(np.float64)
    return bool(np.allclose(came, expected, rtol=case.rtol, atol=case.atol, equal_nan=True))


def has_tensors_only(case: TestCase) -> bool:
    assert case.model is not None
    declared = (*case.model.graph.input, *case.model.graph.output)
    values = [value for given, expected in case.data_sets or [] for value in (*given, *expected)]
    return all(value.type.HasField("tensor_type") for value in declared) and all(
        isinstance(value, np.ndarray | np.generic | TensorProto) for value in values
    )


def array_of(value: Any) -> NDArray[Any]:
    array = onnx.numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array.astype(object) if array.dtype.kind in "SU" else array


def as_bytes(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "O":
        return array
    texts = np.empty(array.size, object)
    texts[:] = [item.encode() if isinstance(item, str) else item for item in array.ravel()]
    return texts.reshape(array.shape)
