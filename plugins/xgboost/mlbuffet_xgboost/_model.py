"""A loaded model: its signatures and its predictions."""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster, DMatrix
from xgboost.core import XGBoostError

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, specs_of_rows
from mlbuffet_xgboost._features import features_of
from mlbuffet_xgboost._file import is_damaged
from mlbuffet_xgboost._options import Options

_KINDS = {
    DEFAULT_SIGNATURE: ({}, ""),
    "raw": ({"output_margin": True}, "scores before they become probabilities or counts"),
    "leaves": ({"pred_leaf": True}, "the leaf of each tree in which a row ends"),
    "contributions": ({"pred_contribs": True}, "what each feature adds to the raw score (SHAP); last comes the bias"),
}


class XGBoostModel:
    """The handle of the model in ``content``. Creating it raises `InvalidOptions`, `LoadFailed` or `XGBoostError`."""

    def __init__(self, content: bytes, options: Options) -> None:
        if is_damaged(content):
            raise LoadFailed("the file is cut short or damaged; copy it again, or save the model again")
        self._options = options
        self._booster = Booster({"nthread": options.nthread}, model_file=bytearray(content))
        learner = json.loads(self._booster.save_config())["learner"]
        self._is_linear = learner["gradient_booster"]["name"] == "gblinear"
        best = None if self._is_linear else self._booster.attr("best_iteration")
        self._rounds = (0, 0 if best is None else int(best) + 1)
        self._features = features_of(self._booster)
        self._classes = _classes(learner)
        if options.labels and len(options.labels) != self._classes:
            raise InvalidOptions(f"labels has {len(options.labels)} names, and the model {self._classes} classes")
        self.signatures = Signatures(dict(self._describe()))

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``. Raises `InvalidInput`, or an error of XGBoost."""
        matrix = self._features.matrix(inputs)
        if len(matrix):
            return self._outputs(signature, matrix)
        one = np.zeros((1, matrix.shape[1]), np.float32)  # of no rows XGBoost does not say the shape
        return {name: values[:0] for name, values in self._outputs(signature, one).items()}

    def _outputs(self, signature: str, matrix: NDArray[np.float32]) -> Tensors:
        values = self._compute(signature, matrix)
        if signature == "leaves":
            return {signature: values.reshape(len(matrix), -1)}  # of one tree XGBoost leaves out the axis
        if signature != DEFAULT_SIGNATURE:
            return {signature: values}
        if not self._classes:
            return {"prediction": values}
        probabilities = values if values.ndim == 2 else np.stack([1 - values, values], axis=1)
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    def _compute(self, signature: str, matrix: NDArray[np.float32]) -> NDArray[Any]:
        given = {"iteration_range": self._rounds, "validate_features": False}
        missing, threads = self._options.missing, self._options.nthread
        if signature in ("leaves", "contributions") or self._is_linear:
            types = self._booster.feature_types
            data = DMatrix(matrix, missing=missing, feature_types=types, nthread=threads, enable_categorical=True)
            return self._booster.predict(data, **given, **_KINDS[signature][0])  # type: ignore[no-any-return]
        kind = "margin" if signature == "raw" else "value"
        return self._booster.inplace_predict(matrix, predict_type=kind, missing=missing, **given)  # type: ignore[no-any-return]

    def _describe(self) -> Iterator[tuple[str, Signature]]:
        """The signatures that the booster answers: one of linear models has no leaves, one of vectors no SHAP."""
        row = np.zeros((1, self._booster.num_features()), np.float32)
        labels = {"probabilities": self._options.labels}
        for signature, (_, description) in _KINDS.items():
            with suppress(XGBoostError) if description else nullcontext():
                outputs = specs_of_rows(self._outputs(signature, row), labels)
                yield signature, Signature(self._features.specs, outputs, description=description)


def _classes(learner: Mapping[str, Any]) -> int:
    """How many classes the model gives probabilities of; 0 where it is no classifier, or has several targets."""
    sizes = learner["learner_model_param"]
    if sizes.get("num_target", "1") != "1":
        return 0
    return {"binary:logistic": 2, "multi:softprob": int(sizes["num_class"])}.get(learner["objective"]["name"], 0)
