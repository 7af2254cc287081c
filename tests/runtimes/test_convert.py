"""What the converters write takes the model's place: the same outputs by the same names, dtypes and shapes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

lightgbm = pytest.importorskip("lightgbm", reason="`make runtimes` installs it")
xgboost = pytest.importorskip("xgboost", reason="`make runtimes` installs it")
tf2onnx = pytest.importorskip("tf2onnx", reason="`make runtimes` installs it")

import mlbuffet
from mlbuffet import Signature, TensorSpec
from mlbuffet.cli.conversion import converted, samples_for
from mlbuffet.comparison import Tolerance
from mlbuffet.converting import Source, as_onnx
from mlbuffet.errors import ConversionFailed
from saved_models import MAKERS

# numpy, Keras and the converters warn of each other's code
pytestmark = pytest.mark.filterwarnings("ignore")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 4)).astype(np.float32)
X[::7, 1] = np.nan
THREE = np.arange(90) % 3


def boosted(path: Path, objective: str, target: NDArray[Any], **parameters: Any) -> Path:
    names = parameters.pop("feature_names", None)
    data = xgboost.DMatrix(X, target, feature_names=names)
    xgboost.train({"objective": objective, "nthread": 1, **parameters}, data, 5).save_model(path / "m.ubj")
    return path / "m.ubj"


def early_stopped(path: Path) -> Path:
    train, valid = xgboost.DMatrix(X[:60], X[:60, 2]), xgboost.DMatrix(X[60:], -X[60:, 2])
    booster = xgboost.train(
        {"nthread": 1}, train, 20, evals=[(valid, "v")], early_stopping_rounds=2, verbose_eval=False
    )
    booster.save_model(path / "m.json")
    return path / "m.json"


def light(path: Path, objective: str, target: NDArray[Any], **parameters: Any) -> Path:
    given = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, **parameters}
    lightgbm.train(given, lightgbm.Dataset(X.astype(np.float64), target), 5).save_model(path / "m.txt")
    return path / "m.txt"


def of_tensorflow(kind: str) -> Callable[[Path], Path]:
    return lambda path: MAKERS[kind](path / "1").path


MODELS: dict[str, Callable[[Path], Path]] = {
    "XGBoost: a regressor": lambda path: boosted(path, "reg:squarederror", X[:, 2]),
    "XGBoost: names of features": lambda path: boosted(
        path, "reg:gamma", THREE + 1, feature_names=["å", "b", "c", "d"]
    ),
    "XGBoost: two classes": lambda path: boosted(path, "binary:logistic", X[:, 0] > 0),
    "XGBoost: three classes": lambda path: boosted(path, "multi:softprob", THREE, num_class=3),
    "XGBoost: early stopping": early_stopped,
    "LightGBM: a regressor": lambda path: light(path, "regression", X[:, 2]),
    "LightGBM: counts": lambda path: light(path, "poisson", THREE),
    "LightGBM: two classes": lambda path: light(path, "binary", X[:, 0] > 0),
    "LightGBM: three classes": lambda path: light(path, "multiclass", THREE, num_class=3),
    **{
        f"TensorFlow: {kind}": of_tensorflow(kind)
        for kind in (
            *(
                "keras-export",
                "keras-file",
                "two-custom-names",
                "declared-order",
                "scalars",
                "type-string",
                "traced-once",
            ),
            "first-with-resource-variables",
        )
    },
}


def convert(path: Path, target: Path, **options: Any) -> bool:
    with mlbuffet.load(path, options=options) as model:
        name = model.signatures.default or next(iter(model.signatures))
        declared = model.signatures[name]
        source = Source(path=path, name=name, signature=declared, options=options)
        samples = samples_for(declared, 0)
        report = converted(model, source, target, samples=samples, tolerance=Tolerance(), prefer=None)
        if report.written:
            with mlbuffet.load(target) as other:
                (written,) = other.signatures.values()
                assert specs(written) == specs(declared)
    return report.written is not None


def specs(signature: Signature) -> list[tuple[str, Any, Any]]:
    return [
        (spec.name, spec.dtype, spec.sizes) for part in (signature.inputs, signature.outputs) for spec in part.values()
    ]


@pytest.mark.parametrize("what", MODELS)
def test_a_model_of_onnx_takes_the_place_of(tmp_path: Path, what: str) -> None:
    assert convert(MODELS[what](tmp_path), tmp_path / "m.onnx")


def test_missing_values_are_missing_to_both(tmp_path: Path) -> None:
    for path in (boosted(tmp_path, "reg:squarederror", X[:, 2]), light(tmp_path, "regression", X[:, 2])):
        assert convert(path, tmp_path / "m.onnx")
        with mlbuffet.load(path) as model, mlbuffet.load(tmp_path / "m.onnx") as other:
            (spec,) = model.signatures["serving_default"].inputs.values()
            rows = {"features": X.astype(spec.dtype)}
            np.testing.assert_allclose(model.predict(rows)["prediction"], other.predict(rows)["prediction"], 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: boosted(path, "rank:pairwise", THREE % 2), "it other outputs"),
        (of_tensorflow("zip-of-a-keras-file"), "it is a zip; unpack it"),
        (of_tensorflow("traced-for-two-ranks"), "was traced 2 times; save it as a signature"),
        (of_tensorflow("type-complex64"), "what it wrote cannot be loaded"),
    ],
)
def test_what_cannot_be_converted_is_told(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    with pytest.raises(ConversionFailed, match=reason):
        convert(make(tmp_path), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_other_signatures_of_trees_and_categories_are_refused(tmp_path: Path) -> None:
    import pandas

    path = light(tmp_path, "regression", X[:, 2])
    with mlbuffet.load(path) as model, pytest.raises(ConversionFailed, match="'raw' has no counterpart in ONNX"):
        as_onnx(Source(path=path, name="raw", signature=model.signatures["raw"], options={}), "lightgbm")
    frame = pandas.DataFrame({"x": X[:, 0], "town": pandas.Categorical(np.array(["a", "b", "c"])[THREE])})
    lightgbm.train({"verbosity": -1}, lightgbm.Dataset(frame, X[:, 2]), 2).save_model(path)
    with pytest.raises(ConversionFailed, match="it has categories with names"):
        convert(path, tmp_path / "m.onnx")


def estimators() -> Iterator[tuple[str, Any, dict[str, NDArray[Any]], list[str]]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    full = np.nan_to_num(X.astype(np.float64))
    yield "a regressor", Ridge().fit(full, full[:, 2]), {"features": full}, ["predict"]
    yield "a forest", RandomForestClassifier(5).fit(full, THREE), {"features": full}, ["predict", "predict_proba"]
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(full, np.array(["κ", "b", "c"])[THREE])
    yield "a pipeline with names of classes", scaled, {"features": full}, ["predict", "predict_proba"]
    yield "probabilities alone", scaled, {"features": full}, ["predict_proba"]
    yield "a transformer", StandardScaler().fit(full), {"features": full}, ["transform"]


TRUSTED = {"trusted": ["sklearn.tree._tree.Tree"]}
NAMES = {"predict": "prediction", "predict_proba": "probabilities", "transform": "features"}


def test_estimators_of_scikit_learn_are_converted(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="`make runtimes` installs it")
    for what, estimator, inputs, methods in estimators():
        skops.dump(estimator, tmp_path / "m.skops")
        names = NAMES | ({"predict": "label"} if hasattr(estimator, "classes_") else {})
        own = {names[method]: getattr(estimator, method)(inputs["features"]) for method in methods}
        outputs = [
            TensorSpec(name, object if array.dtype.kind == "U" else array.dtype, ("batch", *array.shape[1:]))
            for name, array in own.items()
        ]
        signature = Signature([TensorSpec("features", np.float64, ("batch", 4))], outputs)
        source = Source(path=tmp_path / "m.skops", name="serving_default", signature=signature, options=TRUSTED)
        (tmp_path / "m.onnx").write_bytes(as_onnx(source, "sklearn"))
        with mlbuffet.load(tmp_path / "m.onnx") as model:
            written = model.signatures["serving_default"]
            assert specs(written)[1:] == [
                (name.replace("features", "features_out"), *rest) for name, *rest in specs(signature)[1:]
            ]
            answer = dict(zip(own, model.predict(inputs).values(), strict=True))
        for name, expected in own.items():
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(answer[name], expected, 1e-4, 1e-5, err_msg=what)
            else:
                assert [
                    one.decode() if type(one) is bytes else one for one in answer[name].tolist()
                ] == expected.tolist()
