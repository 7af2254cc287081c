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
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec
from mlbuffet_xgboost._features import Features
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
        self._options = options
        if is_damaged(content):
            raise LoadFailed("the file is cut short or damaged; copy it again, or save the model again")
        self._booster = Booster()
        self._booster.load_model(bytearray(content))
        self._booster.set_param({"nthread": self._options.nthread})
        learner = json.loads(self._booster.save_config())["learner"]
        self._is_linear = learner["gradient_booster"]["name"] == "gblinear"
        best = None if self._is_linear else self._booster.attr("best_iteration")
        self._rounds = (0, 0 if best is None else int(best) + 1)
        self._features = Features(self._booster)
        self._classes = _classes(learner)
        if self._options.labels and len(self._options.labels) != self._classes:
            problem = f"labels has {len(self._options.labels)} names, and the model {self._classes} classes"
            raise InvalidOptions(problem)
        self._tails: dict[str, tuple[int, ...]] = {}
        self.signatures = Signatures(dict(self._describe()))

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``. Raises `InvalidInput`, or an error of XGBoost."""
        matrix = self._features.matrix(inputs)
        tail = self._tails[signature]
        # XGBoost leaves out an axis of 1, and answers to no rows without axes
        values = self._compute(signature, matrix) if len(matrix) else np.empty(0, np.float32)
        return self._outputs(signature, values.reshape(len(matrix), *tail))

    def _compute(self, signature: str, matrix: NDArray[np.float32]) -> Any:
        missing, rounds = self._options.missing, self._rounds
        if signature in ("leaves", "contributions") or self._is_linear:
            types, threads = self._features.types, self._options.nthread
            data = DMatrix(matrix, missing=missing, feature_types=types, nthread=threads, enable_categorical=True)
            arguments = _KINDS[signature][0]
            return self._booster.predict(data, iteration_range=rounds, validate_features=False, **arguments)
        kind = "margin" if signature == "raw" else "value"
        return self._booster.inplace_predict(
            matrix, iteration_range=rounds, predict_type=kind, missing=missing, validate_features=False
        )

    def _outputs(self, signature: str, values: NDArray[np.float32]) -> Tensors:
        if signature != DEFAULT_SIGNATURE:
            return {signature: values}
        if not self._classes:
            return {"prediction": values}
        probabilities = values if values.ndim == 2 else np.stack([1 - values, values], axis=1)
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    def _describe(self) -> Iterator[tuple[str, Signature]]:
        """The signatures that the booster answers: one of linear models has no leaves, one of vectors no SHAP."""
        row = np.zeros((1, self._booster.num_features()), np.float32)
        for name, (_, description) in _KINDS.items():
            with suppress(XGBoostError) if description else nullcontext():
                values = self._compute(name, row)
                self._tails[name] = values.shape[1:] or ((1,) if name == "leaves" else ())
                outputs = self._outputs(name, values.reshape(1, *self._tails[name]))
                labels = {"probabilities": self._options.labels}
                specs = [
                    TensorSpec(output, array.dtype, ("batch", *array.shape[1:]), labels=labels.get(output, ()))
                    for output, array in outputs.items()
                ]
                yield name, Signature(self._features.specs, specs, description=description)


def _classes(learner: Mapping[str, Any]) -> int:
    """How many classes the model gives probabilities of; 0 where it is no classifier, or has several targets."""
    sizes = learner["learner_model_param"]
    if sizes.get("num_target", "1") != "1":
        return 0
    return {"binary:logistic": 2, "multi:softprob": int(sizes["num_class"])}.get(learner["objective"]["name"], 0)
