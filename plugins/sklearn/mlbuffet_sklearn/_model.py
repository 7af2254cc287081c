"""A loaded model: its signatures and its predictions."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier

from mlbuffet.errors import InvalidInput, LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec, text_array
from mlbuffet_sklearn._estimator import load_estimator, parts
from mlbuffet_sklearn._inputs import inputs_of
from mlbuffet_sklearn._options import Options

_METHODS = {
    "predict": "prediction",
    "predict_proba": "probabilities",
    "decision_function": "scores",
    "score_samples": "scores",
    "transform": "features",
}
"""The methods that are signatures, and what their outputs are called."""


class SklearnModel:
    """The handle of the model in ``path``, which is called under ``lock``.

    Creating it raises `InvalidOptions` or `LoadFailed`.
    """

    concurrency = 1

    def __init__(self, path: Path, options: Options, lock: Lock) -> None:
        self._lock = lock
        self._estimator = load_estimator(path, options.trusted)
        self._inputs = inputs_of(self._estimator, options.dtypes)
        self._names = _METHODS | ({"predict": "label"} if is_classifier(self._estimator) else {})
        self._empty = self._answers_without_rows()
        self._methods = _signatures(list(self._empty))
        self.signatures = Signatures({name: self._signature(methods) for name, methods in self._methods.items()})

    def predict(self, signature: str, inputs: Tensors, wanted: Collection[str]) -> Tensors:
        """The outputs of ``signature`` that are ``wanted``. Raises `InvalidInput` for values that are refused."""
        answer: dict[str, NDArray[Any]] = {}
        has_rows = len(next(iter(inputs.values()))) > 0
        for method in self._methods[signature]:
            empty = self._empty[method]
            if not has_rows:
                answer |= {name: array.copy() for name, array in empty.items()}
            elif not empty.keys().isdisjoint(wanted):
                try:
                    values = self._call(method, inputs)
                except ValueError as error:
                    raise _refusal(inputs, error) from error
                answer |= {name: _unsqueezed(array, empty[name]) for name, array in values.items()}
        return answer

    def _call(self, method: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        data = self._inputs.data(inputs)  # for each method anew: some estimators change it
        with self._lock:
            values = getattr(self._estimator, method)(data)
        name = self._names[method]
        if isinstance(values, list):  # of a classifier with several targets
            return {f"{name}_{target}": _tensor(each) for target, each in enumerate(values)}
        return {name: _tensor(values)}

    def _answers_without_rows(self) -> dict[str, Tensors]:
        """The outputs of the methods that give tensors. Raises `LoadFailed` where the first of all does not."""
        answers: dict[str, Tensors] = {}
        for method in _METHODS:
            if hasattr(self._estimator, method):
                try:
                    answer = self._call(method, self._inputs.rows)
                except Exception as error:
                    if not answers:
                        raise _unanswered(method, error) from error
                else:
                    answers[method] = {name: array[:0] for name, array in answer.items()}
        if not answers:
            raise LoadFailed(
                f"its {type(self._estimator).__name__} says nothing of new rows: it has none of the methods "
                f"{', '.join(_METHODS)}; save an estimator that has"
            )
        return answers

    def _signature(self, methods: Sequence[str]) -> Signature:
        is_free = None in (self._inputs.specs[0].shape or ())  # then outputs may be as wide as the inputs
        labels = _class_names(self._estimator)
        outputs = []
        for name, array in (item for method in methods for item in self._empty[method].items()):
            sizes = [None if is_free else size for size in array.shape[1:]]
            names = labels.get(name, ())
            outputs.append(
                TensorSpec(name, array.dtype, ("batch", *sizes), labels=names if [len(names)] == sizes else ())
            )
        return Signature(self._inputs.specs, outputs, description=f"{' and '.join(methods)} of scikit-learn")


def _signatures(methods: Sequence[str]) -> dict[str, Sequence[str]]:
    """The methods of each signature: of the default, the first; of classifiers that have them, probabilities too."""
    default = methods[: 2 if methods[1:2] == ["predict_proba"] else 1]
    return {DEFAULT_SIGNATURE: default, **{method: [method] for method in methods}}


def _class_names(estimator: Any) -> Mapping[str, Sequence[str]]:
    """The names of the classes, by the output that has a score for each."""
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list):
        return {f"probabilities_{target}": [str(name) for name in each] for target, each in enumerate(classes)}
    names = [str(name) for name in classes]
    is_pairwise = any(getattr(part, "decision_function_shape", "ovr") == "ovo" for part in parts(estimator, set()))
    return {"probabilities": names, "scores": () if is_pairwise else names}


def _tensor(values: Any) -> NDArray[Any]:
    """What a method returned as a tensor: what is sparse is filled up, text is bytes. `ValueError` for a mixture."""
    array = np.asarray(values.toarray() if issparse(values) else values)
    if array.dtype.kind not in "OU":
        return array
    flat = array.ravel().tolist()
    if not all(isinstance(value, str) for value in flat):
        return array.astype(np.float64)
    return text_array(flat, array.shape)


def _unsqueezed(array: NDArray[Any], declared: NDArray[Any]) -> NDArray[Any]:
    """``array`` with all its dimensions: SparsePCA gives a single row one less."""
    return array if array.ndim == declared.ndim else array.reshape(-1, *declared.shape[1:])


def _unanswered(method: str, error: Exception) -> LoadFailed:
    return LoadFailed(
        f"scikit-learn could not compute {method} of rows that were made up: say by the option dtypes what columns "
        "hold, where that is neither numbers nor categories that an encoder knows",
        detail=str(error),
    )


def _refusal(inputs: Tensors, error: ValueError) -> InvalidInput:
    for name, array in inputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return InvalidInput(f"input {name!r} holds NaN or infinity, which the model cannot take", detail=str(error))
    problem = "the model cannot take these values, such as a category that it does not know"
    return InvalidInput(problem, detail=str(error))
