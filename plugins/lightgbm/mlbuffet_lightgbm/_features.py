"""The features of a model: numbers, and categories where the file has their names."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from lightgbm import Booster

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Categories, Features


def features_of(booster: Booster, text: str) -> Features:
    """The inputs of ``booster``, whose file is ``text``."""
    return Features(booster.feature_name(), np.float64, _categories(booster.pandas_categorical or [], text))


def _categories(categories: Sequence[Sequence[Any]], text: str) -> dict[int, Categories]:
    """By the number of their feature: the file has them in the order of the features."""
    if not categories:
        return {}
    listed = re.search(r"\n\[categorical_feature: ([\d,]+)\]\n", text)
    numbers = sorted(map(int, listed[1].split(","))) if listed else []
    if len(numbers) != len(categories):
        raise LoadFailed(
            f"it has the names of the categories of {len(categories)} features, and says of {len(numbers)} that they "
            "are categories; train it with unordered categories of pandas, and without categorical_feature"
        )
    return {number: _coded(names) for number, names in zip(numbers, categories, strict=True)}


def _coded(names: Sequence[Any]) -> Categories:
    codes = {name.encode() if isinstance(name, str) else name: float(code) for code, name in enumerate(names)}
    return Categories(codes, "any other counts as missing", unknown=True)
