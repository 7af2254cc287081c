"""The features of a model as inputs: one matrix, or where categories have names one input a feature."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightgbm import Booster
from numpy.typing import NDArray

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Tensors, TensorSpec

MATRIX = "features"
_MISSING = "NaN where a value is missing"
Codes = Mapping[Any, float]
_SHOWN = 50


class Features:
    """The inputs of ``booster``, whose file is ``text``, and the matrix that it computes with."""

    def __init__(self, booster: Booster, text: str) -> None:
        names = booster.feature_name()
        self._codes = _codes(booster.pandas_categorical or [], text)
        self.specs = [TensorSpec(MATRIX, np.float64, ("batch", len(names)), labels=names, description=_MISSING)]
        if self._codes:
            self.specs = [_column(name, self._codes.get(number)) for number, name in enumerate(names)]

    def matrix(self, inputs: Tensors) -> NDArray[np.float64]:
        """The features of all rows; a category that the model does not know is missing, as for LightGBM."""
        if not self._codes:
            return np.require(inputs[MATRIX], requirements=["C", "A"])
        columns = [
            _encoded(inputs[spec.name], self._codes[number]) if number in self._codes else inputs[spec.name]
            for number, spec in enumerate(self.specs)
        ]
        return np.stack(columns, axis=1)


def _column(name: str, codes: Codes | None) -> TensorSpec:
    if codes is None:
        return TensorSpec(name, np.float64, ("batch",))
    known = [category.decode() if isinstance(category, bytes) else str(category) for category in codes]
    dtype = object if isinstance(next(iter(codes)), bytes) else np.array(list(codes)).dtype
    description = f"a category, of {', '.join(known[:_SHOWN])}; any other counts as missing"
    return TensorSpec(name, dtype, ("batch",), description=description)


def _codes(categories: Sequence[Sequence[Any]], text: str) -> dict[int, Codes]:
    """The codes of the categories by the number of their feature: the file has them in the order of the features."""
    if not categories:
        return {}
    listed = re.search(r"\n\[categorical_feature: ([\d,]+)\]\n", text)
    numbers = sorted(map(int, listed[1].split(","))) if listed else []
    if len(numbers) != len(categories):
        raise LoadFailed(
            f"it has the names of the categories of {len(categories)} features, and says of {len(numbers)} that they "
            "are categories; train it with unordered categories of pandas, and without categorical_feature"
        )
    return {number: _codes_of(names) for number, names in zip(numbers, categories, strict=True)}


def _codes_of(names: Sequence[Any]) -> Codes:
    return {name.encode() if isinstance(name, str) else name: float(code) for code, name in enumerate(names)}


def _encoded(array: NDArray[Any], codes: Codes) -> NDArray[np.float64]:
    return np.array([codes.get(value, np.nan) for value in array.tolist()], np.float64)
