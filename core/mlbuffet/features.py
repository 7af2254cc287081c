"""The features of a model as its inputs: one matrix, or where some are categories one input for each feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlbuffet.errors import InvalidInput
from mlbuffet.tensor_spec import TensorSpec

MATRIX = "features"
"""The name of the input that holds all features of numbers alone."""
_SHOWN = 50


@dataclass(frozen=True)
class Categories:
    """The categories of a feature: what clients send, text as ``bytes``, and the number with which a model computes.

    ``missing`` is what stands for a missing value, and becomes NaN. What is no category becomes NaN too, if ``unknown``
    says so; else it is `InvalidInput`.
    """

    codes: Mapping[Any, float]
    description: str
    """What is said beside the categories."""
    missing: Any = None
    unknown: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of what clients send."""
        return np.dtype(object) if isinstance(next(iter(self.codes)), bytes) else np.array(list(self.codes)).dtype

    @cached_property
    def _codes(self) -> Mapping[Any, float]:
        return self.codes if self.missing is None else {**self.codes, self.missing: np.nan}

    def encoded(self, array: NDArray[Any], name: str) -> list[float]:
        """The numbers for the input ``name``."""
        if self.unknown:
            return [self._codes.get(value, np.nan) for value in array.tolist()]
        try:
            return [self._codes[value] for value in array.tolist()]
        except KeyError as error:
            problem = f"input {name!r} has the category {_shown(error.args[0])!r}, with which the model was not trained"
            raise InvalidInput(f"{problem}; `mlbuffet inspect` lists those it knows") from None

    def spec(self, name: str) -> TensorSpec:
        """The input ``name``."""
        known = ", ".join(str(_shown(one)) for one in list(self.codes)[:_SHOWN])
        return TensorSpec(name, self.dtype, ("batch",), description=f"a category, of {known}; {self.description}")


class Features:
    """The features called ``names``, numbers of ``dtype`` but for ``categories``, by their place.

    ``specs`` are the inputs.
    """

    def __init__(
        self, names: Sequence[str], dtype: DTypeLike, categories: Mapping[int, Categories] = MappingProxyType({})
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._categories = {names[place]: one for place, one in categories.items()}
        self.specs = [
            self._categories[name].spec(name) if name in self._categories else TensorSpec(name, dtype, ("batch",))
            for name in names
        ]
        if not categories:
            missing = "NaN where a value is missing"
            self.specs = [TensorSpec(MATRIX, dtype, ("batch", len(names)), labels=names, description=missing)]

    def matrix(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The numbers of all rows, in plain memory. Raises `InvalidInput` for what is no category."""
        if not self._categories:
            return np.require(inputs[MATRIX], requirements=["C", "A"])
        return np.stack([self._column(spec.name, inputs[spec.name]) for spec in self.specs], axis=1)

    def _column(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        categories = self._categories.get(name)
        return array if categories is None else np.array(categories.encoded(array, name), self._dtype)


def _shown(category: Any) -> Any:
    return category.decode(errors="replace") if isinstance(category, bytes) else category
