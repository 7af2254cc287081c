"""A loaded model: its signatures and its predictions."""

from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from catboost import CatBoost, CatBoostError, Pool

from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors, specs_of_rows, text_array
from mlbuffet_catboost._features import Features
from mlbuffet_catboost._options import Options

_KINDS = {
    DEFAULT_SIGNATURE: "",
    "raw": "scores before they become probabilities or counts",
    "leaves": "the leaf of each tree in which a row ends",
    "contributions": "what each feature adds to the raw score (SHAP); last comes the bias",
}
_RAW = "RawFormulaVal"
_TYPES = {"Poisson": "Exponent", "Tweedie": "Exponent", "RMSEWithUncertainty": "RMSEWithUncertainty"}
"""What `catboost.CatBoostRegressor` predicts by default, by the loss function; for all others it is the raw score."""


class CatBoostModel:
    """The handle of the model in ``path``. Creating it raises `LoadFailed` or `CatBoostError`."""

    def __init__(self, path: Path, form: str, options: Options) -> None:
        self._threads = options.thread_count
        self._model = CatBoost().load_model(str(path), format=form)
        self._features = Features(self._model, self._threads)
        self._classes = self._model.classes_
        loss = str((self._model.get_all_params() or {}).get("loss_function", "")).partition(":")[0]
        self._has_several_labels = loss in ("MultiLogloss", "MultiCrossEntropy")
        self._types = {"raw": _RAW, "probabilities": "Probability", "prediction": _TYPES.get(loss, _RAW)}
        self.signatures = Signatures(dict(self._describe()))

    def predict(self, inputs: Tensors, wanted: Collection[str]) -> Tensors:
        """The outputs that are ``wanted``, or an error of CatBoost."""
        if len(next(iter(inputs.values()))):
            return self._outputs(inputs, wanted)
        # CatBoost refuses to compute no rows
        return {name: values[:0] for name, values in self._outputs(self._features.row(), wanted).items()}

    def _outputs(self, inputs: Tensors, names: Collection[str]) -> Tensors:
        pool = self._features.pool(inputs)
        return {name: self._compute(name, pool) for name in names}

    def _compute(self, output: str, pool: Pool) -> Any:
        match output:
            case "leaves":
                return self._model.calc_leaf_indexes(pool, thread_count=self._threads)
            case "contributions":
                return self._model.get_feature_importance(pool, "ShapValues", thread_count=self._threads)
            case "label":
                label = self._values(pool, "Class")
                if not self._has_several_labels:
                    label = label.reshape(-1)  # of more than two classes it is a column
                return text_array(label.tolist(), label.shape) if label.dtype.kind == "O" else label
        return self._values(pool, self._types[output])

    def _values(self, pool: Pool, kind: str) -> Any:
        return self._model.predict(pool, prediction_type=kind, thread_count=self._threads)

    def _describe(self) -> Iterator[tuple[str, Signature]]:
        """The signatures that CatBoost answers: without weights in its leaves a model has no contributions."""
        labels = {} if self._has_several_labels else {"probabilities": [str(name) for name in self._classes]}
        main = ("label", "probabilities") if len(self._classes) else ("prediction",)
        for signature, description in _KINDS.items():
            with suppress(CatBoostError) if description else nullcontext():
                answers = self._outputs(self._features.row(), (signature,) if description else main)
                outputs = specs_of_rows(answers, labels)
                yield signature, Signature(self._features.specs, outputs, description=description)
