"""A loaded model: its signatures and its predictions."""

import re
from typing import Any

import numpy as np
from lightgbm import Booster
from numpy.typing import NDArray

from mlbuffet.errors import InvalidOptions
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec
from mlbuffet_lightgbm._features import Features
from mlbuffet_lightgbm._options import Options

_KINDS = {
    DEFAULT_SIGNATURE: ({}, ""),
    "raw": ({"raw_score": True}, "scores before they become probabilities or counts"),
    "leaves": ({"pred_leaf": True}, "the leaf of each tree in which a row ends"),
    "contributions": (
        {"pred_contrib": True},
        "what each feature adds to the raw score (SHAP); last comes the bias; of several classes one after the other",
    ),
}
_LINEAR = re.compile(r"^is_linear=1$|^\[linear_tree: 1\]$", re.MULTILINE)
"""Leaves with linear models, of which LightGBM computes no contributions."""


class LightGBMModel:
    """The handle of the model whose file is ``text``. Creating it raises `InvalidOptions` or `LoadFailed`."""

    def __init__(self, text: str, options: Options) -> None:
        self._options = options
        self._booster = Booster(model_str=text)
        self._features = Features(self._booster, text)
        self._classes = _classes(text)
        if self._options.labels and len(self._options.labels) != self._classes:
            problem = f"labels has {len(self._options.labels)} names, and the model {self._classes} classes"
            raise InvalidOptions(problem)
        self._empty: dict[str, NDArray[Any]] = {}
        kinds = [name for name in _KINDS if name != "contributions" or not _LINEAR.search(text)]
        self.signatures = Signatures({name: self._describe(name) for name in kinds})

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``, or an error of LightGBM."""
        matrix = self._features.matrix(inputs)
        values = self._compute(signature, matrix) if len(matrix) else self._empty[signature].copy()
        return self._outputs(signature, values)

    def _compute(self, signature: str, matrix: NDArray[np.float64]) -> Any:
        arguments = _KINDS[signature][0]
        return self._booster.predict(matrix, num_threads=self._options.num_threads, **arguments)

    def _outputs(self, signature: str, values: NDArray[Any]) -> Tensors:
        if signature != DEFAULT_SIGNATURE:
            return {signature: values}
        if not self._classes:
            return {"prediction": values}
        probabilities = values if values.ndim == 2 else np.stack([1 - values, values], axis=1)
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    def _describe(self, name: str) -> Signature:
        values = self._compute(name, np.zeros((1, self._booster.num_feature())))
        self._empty[name] = values[:0]
        labels = {"probabilities": self._options.labels}
        specs = [
            TensorSpec(output, array.dtype, ("batch", *array.shape[1:]), labels=labels.get(output, ()))
            for output, array in self._outputs(name, values).items()
        ]
        return Signature(self._features.specs, specs, description=_KINDS[name][1])


def _classes(text: str) -> int:
    """How many classes the model gives probabilities of; 0 where it is no classifier."""
    objective = re.search(r"^objective=(binary|multiclass|multiclassova)\b", text, re.MULTILINE)
    classes = re.search(r"^num_class=(\d+)$", text, re.MULTILINE)
    return max(2, int(classes[1])) if objective and classes else 0
