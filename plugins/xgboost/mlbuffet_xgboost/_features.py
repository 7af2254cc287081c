"""The features of a model as inputs: one matrix, or where categories have names one input a feature."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster

from mlbuffet.errors import InvalidInput, LoadFailed
from mlbuffet.tensors import Tensors, TensorSpec

MATRIX = "features"
_MISSING = "NaN where a value is missing"
Codes = Mapping[Any, float]
_SHOWN = 50


class Features:
    """The inputs of ``booster``, and the matrix that it computes with. `LoadFailed` where categories are damaged."""

    def __init__(self, booster: Booster) -> None:
        self.types = booster.feature_types
        names = booster.feature_names or [f"f{number}" for number in range(booster.num_features())]
        self._codes = _codes(booster) if "c" in (self.types or ()) else {}
        self.specs = [TensorSpec(MATRIX, np.float32, ("batch", len(names)), labels=names, description=_MISSING)]
        if self._codes:
            self.specs = [_column(name, self._codes.get(number)) for number, name in enumerate(names)]

    def matrix(self, inputs: Tensors) -> NDArray[np.float32]:
        """The features of all rows. Raises `InvalidInput` for a category that the model does not know."""
        if not self._codes:
            return np.require(inputs[MATRIX], requirements=["C", "A"])
        columns = [
            _encoded(inputs[spec.name], self._codes[number], spec.name) if number in self._codes else inputs[spec.name]
            for number, spec in enumerate(self.specs)
        ]
        return np.stack(columns, axis=1)


def _column(name: str, codes: Codes | None) -> TensorSpec:
    if codes is None:
        return TensorSpec(name, np.float32, ("batch",))
    missing, *known = codes
    if missing == b"":
        shown, dtype, missing = b", ".join(known[:_SHOWN]).decode(), np.dtype(object), "empty text"
    else:
        shown, dtype = ", ".join(map(str, known[:_SHOWN])), np.array(known).dtype
    return TensorSpec(name, dtype, ("batch",), description=f"a category, of {shown}; {missing} where it is missing")


def _codes(booster: Booster) -> dict[int, Codes]:
    """The codes of the categories, by the number of their feature; only the file in full has their names.

    The first is that of a value that is missing: of empty text, or -1.
    """
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    encodings = model.get("gbtree", model)["model"].get("cats", {}).get("enc", [])
    named = {number: _names(encoding, number) for number, encoding in enumerate(encodings) if encoding["values"]}
    return {number: _codes_of(names) for number, names in named.items()}


def _codes_of(names: Sequence[Any]) -> Codes:
    missing = b"" if isinstance(names[0], bytes) else -1
    return {missing: np.nan} | {name: float(code) for code, name in enumerate(names)}


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


def _encoded(array: NDArray[Any], codes: Codes, name: str) -> NDArray[np.float32]:
    try:
        return np.array([codes[value] for value in array.tolist()], np.float32)
    except KeyError as error:
        value = error.args[0]
        shown = value.decode(errors="replace") if isinstance(value, bytes) else value
        problem = f"input {name!r} has the category {shown!r}, with which the model was not trained"
        raise InvalidInput(f"{problem}; `mlbuffet inspect` lists those it knows") from None
