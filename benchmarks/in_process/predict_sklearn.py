"""What one call of ``Model.predict`` costs beside scikit-learn called directly."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import mlbuffet
from case import Case, Field, Plan
from figures import Key
from in_process.predict import microseconds

_CALLS = 200


@contextmanager
def _sklearn(plan: Plan) -> Iterator[Field]:
    import pandas
    import skops.io
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    plan.tell("scikit-learn trains a few models (`make runtimes` installs skops)")
    rows = np.random.default_rng(0).normal(size=(300, 10))
    target = (rows[:, 0] > 0).astype(int)
    table = pandas.DataFrame(rows[:, :3], columns=list("abc")).assign(town=np.resize(["Oslo", "Рим", "東京"], 300))
    field = Field()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:

        def measure(name: str, own: Any, x: Any, inputs: dict[str, Any]) -> None:
            skops.io.dump(own, file := Path(place, "m.skops"))
            options = {"trusted": skops.io.get_untrusted_types(file=file)}
            model = stack.enter_context(mlbuffet.load(file, options=options))
            call = partial(model.predict, inputs, signature="predict")
            field.measures[Key("the library", name)] = microseconds(partial(own.predict, x), _CALLS)
            field.measures[Key("Model.predict", name)] = microseconds(call, _CALLS)

        row = rows[:1].copy()
        measure("line", LogisticRegression().fit(rows, target), row, {"features": row})
        measure("forest", RandomForestClassifier().fit(rows, target), row, {"features": row})
        columns = {name: values.to_numpy() for name, values in table[:1].items()}
        columns["town"] = np.array([b"Oslo"], object)
        measure("columns", _of_columns().fit(table, target), table[:1].copy(), columns)
        yield field


def _of_columns() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    prepared = make_column_transformer((StandardScaler(), ["a", "b", "c"]), (OneHotEncoder(), ["town"]))
    return make_pipeline(prepared, LogisticRegression())


CASES = (
    Case(
        name="predict-sklearn",
        title="One row through models of scikit-learn, in process",
        unit="us",
        prepare=_sklearn,
        asked_for=True,
    ),
)
