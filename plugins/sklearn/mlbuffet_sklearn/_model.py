"""A loaded model: its signatures and its predictions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier

from mlbuffet.errors import InvalidInput, LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec
from mlbuffet_sklearn._estimator import load_estimator, parts
from mlbuffet_sklearn._inputs import inputs_of
from mlbuffet_sklearn._options import parse_options

_METHODS = {
    "predict": "prediction",
    "predict_proba": "probabilities",
    "decision_function": "scores",
    "score_samples": "scores",
    "transform": "features",
}
"""The methods that are signatures, and what their outputs are called."""


class SklearnModel:
    """The handle of the model in ``path``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        chosen = parse_options(options)
        self._estimator = load_estimator(path, chosen.trusted)
        self._n_jobs = chosen.n_jobs
        self._inputs = inputs_of(self._estimator, chosen.dtypes)
        self._names = _METHODS | ({"predict": "label"} if is_classifier(self._estimator) else {})
        self._classes = _class_names(self._estimator)
        for part in parts(self._estimator, set()):
            if "n_jobs" in vars(part):
                part.n_jobs = None  # the number in the file was for the machine of the training
        self._empty: dict[str, dict[str, Tensors]] = {}
        self.signatures = Signatures(dict(self._describe()))

    def predict(self, signature: str, inputs: Tensors, wanted: Collection[str]) -> Tensors:
        """The outputs of ``signature`` that are ``wanted``. Raises `InvalidInput` for values that are refused."""
        answer: dict[str, NDArray[Any]] = {}
        has_rows = len(next(iter(inputs.values()))) > 0
        for method, empty in self._empty[signature].items():
            if not has_rows:
                answer |= {name: array.copy() for name, array in empty.items()}
            elif not empty.keys().isdisjoint(wanted):
                try:
                    answer |= self._call(method, inputs)
                except ValueError as error:
                    raise _refusal(inputs, error) from error
        return answer

    def _call(self, method: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        data = self._inputs.data(inputs)  # for each method anew: some estimators change it
        with nullcontext() if self._n_jobs == 1 else parallel_config("threading", n_jobs=self._n_jobs):
            values = getattr(self._estimator, method)(data)
        name = self._names[method]
        if isinstance(values, list):  # of a classifier with several targets
            return {f"{name}_{target}": _tensor(each) for target, each in enumerate(values)}
        return {name: _tensor(values)}

    def _describe(self) -> Iterator[tuple[str, Signature]]:
        """The methods that there are, as far as they give tensors; the default must."""
        methods = [method for method in _METHODS if hasattr(self._estimator, method)]
        if not methods:
            raise LoadFailed(
                f"a {type(self._estimator).__name__} says nothing of new rows: it has none of the methods "
                f"{', '.join(_METHODS)}; save an estimator that has"
            )
        yield DEFAULT_SIGNATURE, self._signature(DEFAULT_SIGNATURE, methods[: 1 + (methods[1:2] == ["predict_proba"])])
        for method in methods:
            with suppress(LoadFailed):
                yield method, self._signature(method, [method])

    def _signature(self, name: str, methods: Sequence[str]) -> Signature:
        answers = {method: self._answer_for_a_row(method) for method in methods}
        outputs = [
            TensorSpec(output, array.dtype, ("batch", *array.shape[1:]), labels=self._labels(output, array))
            for answer in answers.values()
            for output, array in answer.items()
        ]
        self._empty[name] = {
            method: {output: array[:0] for output, array in answer.items()} for method, answer in answers.items()
        }
        return Signature(self._inputs.specs, outputs, description=f"{' and '.join(methods)} of scikit-learn")

    def _answer_for_a_row(self, method: str) -> Tensors:
        try:
            return self._call(method, self._inputs.row)
        except Exception as error:
            raise LoadFailed(
                f"scikit-learn could not compute {method} of a row that was made up: say by the option dtypes what "
                "columns hold, where that is neither numbers nor categories that an encoder knows",
                detail=str(error),
            ) from error

    def _labels(self, output: str, array: NDArray[Any]) -> Sequence[str]:
        names = self._classes.get(output, ())
        return names if array.ndim == 2 and array.shape[1] == len(names) else ()


def _class_names(estimator: Any) -> Mapping[str, Sequence[str]]:
    """The names of the classes, by the output that has a score for each."""
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list):
        return {f"probabilities_{target}": [str(name) for name in each] for target, each in enumerate(classes)}
    names = [str(name) for name in classes]
    is_pairwise = any(getattr(part, "decision_function_shape", "ovr") == "ovo" for part in parts(estimator, set()))
    return {"probabilities": names, "scores": () if is_pairwise else names}


def _tensor(values: Any) -> NDArray[Any]:
    """What a method returned as a tensor: sparse ones are filled up, text is bytes. Raises `ValueError` for a mixture."""
    array = np.asarray(values.toarray() if issparse(values) else values)
    if array.dtype.kind not in "OU":
        return array
    flat = array.ravel().tolist()
    if not all(isinstance(value, str) for value in flat):
        return array.astype(np.float64)
    encoded = np.empty(len(flat), object)
    encoded[:] = [text.encode() for text in flat]
    return encoded.reshape(array.shape)


def _refusal(inputs: Tensors, error: ValueError) -> InvalidInput:
    for name, array in inputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return InvalidInput(f"input {name!r} holds NaN or infinity, which the model cannot take", detail=str(error))
    return InvalidInput("the model cannot take these values, such as a category that it does not know", detail=str(error))
