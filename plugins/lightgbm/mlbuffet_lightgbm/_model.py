"""A loaded model: its signatures and its predictions."""

import re

import numpy as np
from lightgbm import Booster
from lightgbm.basic import _InnerPredictor
from numpy.typing import NDArray

from mlbuffet.errors import InvalidOptions
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, specs_of_rows
from mlbuffet_lightgbm._features import features_of
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
        self._booster = Booster(model_str=text)  # which frees the model when it goes
        # Booster.predict makes one for each call, which takes a third of the time of a small call
        self._predictor = _InnerPredictor.from_booster(self._booster, {"num_threads": options.num_threads})
        self._features = features_of(self._booster, text)
        self._labels = options.labels
        self._classes = _classes(text)
        if options.labels and len(options.labels) != self._classes:
            raise InvalidOptions(f"labels has {len(options.labels)} names, and the model {self._classes} classes")
        kinds = [name for name in _KINDS if name != "contributions" or not _LINEAR.search(text)]
        self.signatures = Signatures({name: self._describe(name) for name in kinds})

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``, or an error of LightGBM."""
        matrix = self._features.matrix(inputs)
        if len(matrix):
            return self._outputs(signature, matrix)
        one = np.zeros((1, matrix.shape[1]))  # LightGBM refuses to compute no rows
        return {name: values[:0] for name, values in self._outputs(signature, one).items()}

    def _outputs(self, signature: str, matrix: NDArray[np.float64]) -> Tensors:
        rounds = self._booster.best_iteration
        values = self._predictor.predict(matrix, num_iteration=rounds, **_KINDS[signature][0])
        if signature != DEFAULT_SIGNATURE:
            return {signature: values}
        if not self._classes:
            return {"prediction": values}
        probabilities = values if values.ndim == 2 else np.stack([1 - values, values], axis=1)
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    def _describe(self, signature: str) -> Signature:
        row = np.zeros((1, self._booster.num_feature()))
        outputs = specs_of_rows(self._outputs(signature, row), {"probabilities": self._labels})
        return Signature(self._features.specs, outputs, description=_KINDS[signature][1])


def _classes(text: str) -> int:
    """How many classes the model gives probabilities of; 0 where it is no classifier."""
    objective = re.search(r"^objective=(binary|multiclass|multiclassova)\b", text, re.MULTILINE)
    classes = re.search(r"^num_class=(\d+)$", text, re.MULTILINE)
    return max(2, int(classes[1])) if objective and classes else 0
