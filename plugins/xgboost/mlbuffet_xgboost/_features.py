"""The features of a model: numbers, and categories where the file has their names."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from xgboost import Booster

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import Categories, Features


def features_of(booster: Booster) -> Features:
    """The inputs of ``booster``. Raises `LoadFailed` where the names of categories are damaged."""
    names = booster.feature_names or [f"f{number}" for number in range(booster.num_features())]
    return Features(names, np.float32, _categories(booster) if "c" in (booster.feature_types or ()) else {})


def _categories(booster: Booster) -> dict[int, Categories]:
    """By the number of their feature; only the file in full has their names."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    encodings = model.get("gbtree", model)["model"].get("cats", {}).get("enc", [])
    named = {number: _names(encoding, number) for number, encoding in enumerate(encodings) if encoding["values"]}
    return {number: _coded(names) for number, names in named.items()}


def _coded(names: list[Any]) -> Categories:
    codes = {name: float(code) for code, name in enumerate(names)}
    if isinstance(names[0], bytes):
        return Categories(codes, "empty text where it is missing", missing=b"")
    return Categories(codes, "-1 where it is missing", missing=-1)


def _names(encoding: Mapping[str, Any], number: int) -> list[Any]:
    if "offsets" not in encoding:
        return list(encoding["values"])
    content = np.array(encoding["values"], np.int8).tobytes()
    names = [content[begin:end] for begin, end in pairwise(encoding["offsets"])]
    try:
        for name in names:
            name.decode()
    except UnicodeDecodeError:
        raise LoadFailed(
            f"XGBoost has damaged the names of the categories of feature {number} when it saved them, as it does with "
            "letters outside ASCII in a DataFrame of pandas; give the categories other names, and train it again"
        ) from None
    return names
