"""What the columns of a fitted estimator hold, as those estimators in it say that read them first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from mlbuffet.errors import LoadFailed
from mlbuffet.tensors import texts_in

_WITHIN = ("best_estimator_", "calibrated_classifiers_", "estimators_", "estimator_", "regressor_", "_preprocessor")
"""Where estimators have others, or a list of them, that read the same columns."""
_COLUMN_BY_COLUMN = (FunctionTransformer, SimpleImputer)
"""What a pipeline begins with that leaves the columns where they are, for the next step to say more of them."""
_SHOWN = 50


@dataclass(frozen=True)
class Column:
    """What one column holds.

    ``known`` are its categories. ``is_object``: scikit-learn wants Python objects. ``missing`` is what an empty text
    stands for, if anything.
    """

    dtype: np.dtype[Any]
    known: tuple[Any, ...] = ()
    is_object: bool = False
    missing: tuple[Any, ...] = ()

    @property
    def description(self) -> str:
        """The categories, for people."""
        more = [f"{len(self.known) - _SHOWN} more"] if len(self.known) > _SHOWN else []
        known = f"a category: {', '.join([*map(str, self.known[:_SHOWN]), *more])}" if self.known else ""
        return "; ".join(filter(None, [known, "empty where it is missing" if self.missing else ""]))

    @property
    def example(self) -> Any:
        """A value that the model takes."""
        if self.dtype.kind == "O":
            return self.known[0].encode() if self.known else b""
        return self.known[0] if self.known else 1

    def then(self, other: "Column | None") -> "Column":
        """What is known from this reader, and from ``other``, which reads what this one made of it."""
        if other is None or self.known:
            return self
        return replace(other, missing=() if "" in other.known else self.missing or other.missing)

    def values(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        """What came as the input ``name`` as scikit-learn takes it, in memory of its own: text as ``str``."""
        if self.dtype.kind != "O":
            return array.astype(object if self.is_object else self.dtype)
        texts: list[Any] = texts_in(array, name)
        return np.array([text or self.missing[0] for text in texts] if self.missing else texts, object)


NUMBER = Column(np.dtype(np.float64))
TEXT = Column(np.dtype(object), is_object=True)


def readers(estimator: Any, positions: Sequence[int]) -> Iterator[tuple[Any, Sequence[int]]]:
    """The estimators that read columns first, each with its own of ``positions``."""
    parts: list[tuple[Any, Sequence[int]]]
    match estimator:
        case Pipeline():
            steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
            last = next((place for place, step in enumerate(steps) if not isinstance(step, _COLUMN_BY_COLUMN)), 0)
            parts = [(step, positions) for step in steps[: last + 1]]
        case ColumnTransformer() if estimator.n_features_in_ == len(positions):
            indices = estimator._transformer_to_input_indices
            parts = [
                (part, [positions[index] for index in indices[name]])
                for name, part, _ in estimator.transformers_
                if part != "drop"
            ]
        case FeatureUnion():
            parts = [(part, positions) for _, part in estimator.transformer_list]
        case _:
            parts = [(part, positions) for part in _within(estimator)]
    if not parts:
        yield estimator, positions
    for part, its in parts:
        yield from readers(part, its)


def columns_of(reader: Any, count: int) -> list[Column | None]:
    """What the ``count`` columns that ``reader`` reads hold; ``None`` for those of which it does not say it."""
    categories, statistics = getattr(reader, "categories_", ()), getattr(reader, "statistics_", ())
    if isinstance(categories, list) and len(categories) == count:
        return list(map(_of_categories, categories))
    if len(statistics) == count:  # of an imputer
        text = replace(TEXT, missing=_missing([getattr(reader, "missing_values", None)]))
        return [text if isinstance(value, str) else None for value in statistics]
    return [TEXT] * count if reads_texts(reader) else []


def reads_texts(reader: Any) -> bool:
    """Whether it takes a list of texts, and no matrix."""
    tags = get_tags(reader).input_tags if isinstance(reader, BaseEstimator) else None
    return tags is not None and tags.string and not tags.two_d_array


def _of_categories(categories: NDArray[Any]) -> Column:
    values, is_object = categories.tolist(), categories.dtype.kind == "O"
    known = tuple(value for value in values if not _missing([value]))
    dtype = np.array(known).dtype if is_object else categories.dtype
    match dtype.kind:
        case "U":
            return replace(TEXT, known=known, missing=() if "" in known else _missing(values))
        case "b" | "i" | "u" | "f":
            return Column(dtype, known, is_object)
    raise LoadFailed(f"it has a column of categories of the type {dtype}; train it with text or numbers instead")


def _missing(values: list[Any]) -> tuple[Any, ...]:
    """Those of ``values`` that stand for a missing one."""
    return tuple(value for value in values if value is None or value != value)


def _within(estimator: Any) -> list[Any]:
    for name in _WITHIN:
        found = getattr(estimator, name, None)
        if isinstance(found, list | BaseEstimator):
            return found if isinstance(found, list) else [found]
    wraps = not isinstance(estimator, str | BaseEstimator) or isinstance(estimator, FrozenEstimator)
    return [estimator.estimator] if wraps and hasattr(estimator, "estimator") else []
