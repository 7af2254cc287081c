"""A loaded model: its signatures and its predictions."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoost, CatBoostError, Pool
from numpy.typing import NDArray

from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, TensorSpec
from mlbuffet_catboost._features import Features
from mlbuffet_catboost._options import parse_options

_KINDS = {
    DEFAULT_SIGNATURE: "",
    "raw": "scores before they become probabilities or counts",
    "leaves": "the leaf of each tree in which a row ends",
    "contributions": "what each feature adds to the raw score (SHAP); last comes the bias",
}
_TYPES = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"}
"""What `catboost.CatBoostRegressor` predicts by default, by the loss function; for all others it is the raw score."""


class CatBoostModel:
    """The handle of the model in ``path``. Creating it raises `InvalidOptions`, `LoadFailed` or `CatBoostError`."""

    def __init__(self, path: Path, form: str, options: Mapping[str, Any]) -> None:
        self._threads = parse_options(options).thread_count
        self._model = CatBoost().load_model(str(path), format=form)
        self._features = Features(self._model, self._threads)
        self._classes = self._model.classes_
        loss = str((self._model.get_all_params() or {}).get("loss_function", "")).partition(":")[0]
        self._has_several_labels = loss in ("MultiLogloss", "MultiCrossEntropy")
        self._type = _TYPES.get(loss, "RawFormulaVal")
        self._empty: dict[str, Tensors] = {}
        self.signatures = Signatures(dict(self._describe()))

    def predict(self, signature: str, inputs: Tensors) -> Tensors:
        """All outputs of ``signature``, or an error of CatBoost."""
        if not len(next(iter(inputs.values()))):
            return {name: array.copy() for name, array in self._empty[signature].items()}
        return self._compute(signature, self._features.pool(inputs))

    def _compute(self, signature: str, pool: Pool) -> Tensors:
        match signature:
            case "raw":
                return {"raw": self._values(pool, "RawFormulaVal")}
            case "leaves":
                return {"leaves": self._model.calc_leaf_indexes(pool, thread_count=self._threads)}
            case "contributions":
                values = self._model.get_feature_importance(pool, "ShapValues", thread_count=self._threads)
                return {"contributions": values}
        if not len(self._classes):
            return {"prediction": self._values(pool, self._type)}
        label = self._values(pool, "Class")
        if not self._has_several_labels:
            label = label.reshape(-1)  # of more than two classes it is a column
        if label.dtype.kind == "O":
            label = np.array([text.encode() for text in label], object)
        return {"label": label, "probabilities": self._values(pool, "Probability")}

    def _values(self, pool: Pool, kind: str) -> NDArray[Any]:
        return self._model.predict(pool, prediction_type=kind, thread_count=self._threads)

    def _describe(self) -> Iterator[tuple[str, Signature]]:
        """The signatures that CatBoost answers: of a model without weights in its leaves it computes no contributions."""
        specs = self._features.specs
        row = {spec.name: np.zeros([1, *spec.sizes[1:]], np.float32) for spec in specs}
        row |= {spec.name: np.array([b"?"], object) for spec in specs if spec.dtype.kind == "O"}
        labels = {} if self._has_several_labels else {"probabilities": [str(name) for name in self._classes]}
        for name, description in _KINDS.items():
            with suppress(CatBoostError) if description else nullcontext():
                outputs = self._compute(name, self._features.pool(row))
                self._empty[name] = {output: array[:0] for output, array in outputs.items()}
                answers = [
                    TensorSpec(output, array.dtype, ("batch", *array.shape[1:]), labels=labels.get(output, ()))
                    for output, array in outputs.items()
                ]
                yield name, Signature(specs, answers, description=description)
