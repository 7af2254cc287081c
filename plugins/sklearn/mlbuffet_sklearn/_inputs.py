"""The inputs of a fitted estimator, and what it takes of them: texts, a matrix, or a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet.tensors import Tensors, TensorSpec
from mlbuffet_sklearn._columns import NUMBER, TEXT, Column, columns_of, readers, reads_texts

MATRIX = "features"


@dataclass(frozen=True)
class Inputs:
    """The inputs, two rows of them, and the function that makes of them what the estimator takes, in new memory."""

    specs: Sequence[TensorSpec]
    rows: Tensors
    data: Callable[[Tensors], Any]


def inputs_of(estimator: Any, dtypes: Mapping[str, str]) -> Inputs:
    """What a fitted ``estimator`` takes: one input a column where it chooses them by name or they differ.

    ``dtypes`` say what columns hold, by name. Raises `InvalidOptions` and `LoadFailed`.
    """
    count = getattr(estimator, "n_features_in_", 0)
    given = getattr(estimator, "feature_names_in_", None)
    names = [f"x{number}" for number in range(count)] if given is None else given.tolist()
    found = list(readers(estimator, range(count)))
    columns = _columns(names, found, dtypes)
    if not count:
        return _without_columns([reader for reader, _ in found])
    is_by_name = given is not None and any(len(positions) < count for _, positions in found)
    if is_by_name or len({one.dtype for one in columns.values()}) > 1:
        return _of_columns(columns, names, is_table=given is not None)
    return _of_matrix([columns.get(name, NUMBER) for name in names], given)


def _columns(
    names: Sequence[str], found: Sequence[tuple[Any, Sequence[int]]], dtypes: Mapping[str, str]
) -> dict[str, Column]:
    """Those that are read: what ``dtypes`` say of them, or their readers, of which some say nothing."""
    read: set[int] = set().union(*(positions for _, positions in found))
    columns = {names[position]: NUMBER for position in sorted(read)}
    if unknown := dtypes.keys() - columns.keys():
        problem = f"dtypes names {min(unknown)!r}, and the model reads {', '.join(columns) or 'no columns'}"
        raise InvalidOptions(problem)
    for reader, positions in found:
        for position, column in zip(positions, columns_of(reader, len(positions)), strict=False):
            columns[names[position]] = columns[names[position]].then(column)
    told = {name: TEXT if kind == "text" else Column(np.dtype(kind)) for name, kind in dtypes.items()}
    return columns | told


def _without_columns(readers: Sequence[Any]) -> Inputs:
    """Of what is read, where that is no matrix of known width: texts, or one variable."""
    tags = get_tags(readers[0]).input_tags
    if tags.dict:
        raise LoadFailed(
            f"it begins with a {type(readers[0]).__name__}, which reads dictionaries, and MLBuffet serves tensors; "
            "train it on a table, with a OneHotEncoder in its place"
        )
    if any(map(reads_texts, readers)):
        spec, texts = TensorSpec("text", object, ("batch",)), np.array([b"", b""], object)
        return Inputs([spec], {"text": texts}, lambda inputs: TEXT.values(inputs["text"], "text"))
    shape = ("batch",) if tags.one_d_array else ("batch", None)
    rows = np.ones((2, 1)[: len(shape)])
    return Inputs([TensorSpec(MATRIX, rows.dtype, shape)], {MATRIX: rows}, lambda inputs: inputs[MATRIX].copy())


def _of_columns(columns: Mapping[str, Column], names: Sequence[str], *, is_table: bool) -> Inputs:
    def objects(inputs: Tensors) -> Any:
        rows = len(next(iter(inputs.values())))
        matrix = np.zeros((rows, len(names)), object)
        for place, name in enumerate(names):
            if one := columns.get(name):
                matrix[:, place] = one.values(inputs[name], name)
        return matrix

    def table(inputs: Tensors) -> Any:
        values = {name: one.values(inputs[name], name) for name, one in columns.items()}
        exact = {name: pandas.Series(values[name], dtype=object) for name, one in columns.items() if one.missing}
        return pandas.DataFrame(values | exact, columns=index)

    import pandas

    index = pandas.Index(names)
    specs = [TensorSpec(name, one.dtype, ("batch",), description=one.description) for name, one in columns.items()]
    rows = {name: np.array([one.example] * 2, one.dtype) for name, one in columns.items()}
    return Inputs(specs, rows, table if is_table else objects)


def _of_matrix(columns: Sequence[Column], names: NDArray[Any] | None) -> Inputs:
    def array(inputs: Tensors) -> NDArray[Any]:
        given = inputs[MATRIX]
        if is_object:
            return np.stack([one.values(given[:, place], MATRIX) for place, one in enumerate(columns)], axis=1)
        return np.array(given, order="C" if names is None else "F")  # tables have their columns in one piece

    def table(inputs: Tensors) -> Any:
        return pandas.DataFrame(array(inputs), columns=index, copy=False)

    is_object = any(one.is_object for one in columns)
    dtype = columns[0].dtype
    rows = {MATRIX: np.array([[one.example for one in columns]] * 2, dtype)}
    if names is None:
        return Inputs([TensorSpec(MATRIX, dtype, ("batch", len(columns)))], rows, array)
    import pandas

    index = pandas.Index(names)
    return Inputs([TensorSpec(MATRIX, dtype, ("batch", len(columns)), labels=names)], rows, table)
