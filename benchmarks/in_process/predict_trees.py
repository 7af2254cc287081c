"""What one call of ``Model.predict`` costs beside XGBoost, LightGBM and CatBoost called directly."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

import mlbuffet
from case import Case, Field, Plan
from figures import Key
from in_process.predict import microseconds

_CALLS = 200


@contextmanager
def _trees(plan: Plan) -> Iterator[Field]:
    import catboost
    import lightgbm
    import xgboost

    plan.tell("XGBoost, LightGBM and CatBoost train a model each (`make runtimes` installs them)")
    rows = np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)
    target = rows[:, 0] * rows[:, 1]
    row, wide = rows[:1].copy(), rows[:1].astype(np.float64)
    field = Field()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:

        def measure(name: str, file: str, x: object, direct: Callable[[], object]) -> None:
            model = stack.enter_context(mlbuffet.load(Path(place, file)))
            field.measures[Key("the library", name)] = microseconds(direct, _CALLS)
            field.measures[Key("Model.predict", name)] = microseconds(partial(model.predict, {"features": x}), _CALLS)

        booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, target), 100)
        booster.save_model(f"{place}/m.ubj")
        measure("XGBoost", "m.ubj", row, lambda: booster.inplace_predict(row, validate_features=False))
        forest = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(rows, target), 100)
        forest.save_model(f"{place}/m.txt")
        measure("LightGBM", "m.txt", wide, lambda: forest.predict(wide, num_threads=1))
        cat = catboost.CatBoostRegressor(iterations=100, verbose=0, allow_writing_files=False).fit(rows, target)
        cat.save_model(f"{place}/m.cbm")
        measure("CatBoost", "m.cbm", row, lambda: cat.predict(row, thread_count=1))
        yield field


CASES = (
    Case(
        name="predict-trees",
        title="One row through 100 trees of XGBoost, LightGBM and CatBoost, in process",
        unit="us",
        prepare=_trees,
        asked_for=True,
    ),
)
