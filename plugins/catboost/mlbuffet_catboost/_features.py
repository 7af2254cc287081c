"""The features of a model as inputs: one matrix, or where there are categories or texts one input a feature."""

import numpy as np
from catboost import CatBoost, Pool

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Tensors, TensorSpec

MATRIX = "features"
_MISSING = "NaN where a value is missing"


class Features:
    """The inputs of ``model``, and CatBoost's pool of them. `LoadFailed` where it has embeddings among them."""

    def __init__(self, model: CatBoost, threads: int) -> None:
        if model.get_embedding_feature_indices():
            raise LoadFailed(
                "it has embeddings among its features, whose length CatBoost neither tells nor checks; train it with "
                "a column for each number of the embedding"
            )
        names = model.feature_names_
        categories, texts = model.get_cat_feature_indices(), model.get_text_feature_indices()
        self._threads = threads
        self._count = len(names)
        self._kinds = {"cat_features": categories or None, "text_features": texts or None}
        self._is_matrix = not (categories or texts)
        self.specs = [TensorSpec(MATRIX, np.float32, ("batch", len(names)), labels=names, description=_MISSING)]
        if not self._is_matrix:
            kinds = dict.fromkeys(categories, "a category") | dict.fromkeys(texts, "a text")
            self.specs = [_column(name, kinds.get(number, "")) for number, name in enumerate(names)]

    def row(self) -> Tensors:
        """Inputs of one row, to see what CatBoost makes of them."""
        if self._is_matrix:
            return {MATRIX: np.zeros((1, self._count), np.float32)}
        return {spec.name: np.array([b"" if spec.dtype.kind == "O" else 0], spec.dtype) for spec in self.specs}

    def pool(self, inputs: Tensors) -> Pool:
        """The features of all rows."""
        if self._is_matrix:
            return Pool(np.require(inputs[MATRIX], requirements=["C", "A"]), thread_count=self._threads)
        columns = [inputs[spec.name] for spec in self.specs]
        data = np.empty((len(columns[0]), len(columns)), object)
        for number, column in enumerate(columns):
            data[:, number] = column
        return Pool(data, thread_count=self._threads, **self._kinds)


def _column(name: str, kind: str) -> TensorSpec:
    return TensorSpec(name, object if kind else np.float32, ("batch",), description=kind)
