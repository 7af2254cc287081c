"""The CatBoost runtime answers what CatBoost itself answers, to the last bit."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

catboost = pytest.importorskip("catboost", reason="`make runtimes` installs it")
pandas = pytest.importorskip("pandas", reason="`make runtimes` installs it")

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_catboost.plugin import CatBoostRuntime

RANDOM = np.random.default_rng(0)
ROWS = 90
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
X[::7, 1] = np.nan
FULL = np.nan_to_num(X)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.arange(ROWS) % 3
WIDE = RANDOM.integers(-(2**62), 2**62, size=(ROWS, 3)).astype(np.float32)
MANY = RANDOM.normal(size=(ROWS, 10_000)).astype(np.float32)
TOWNS = np.array(["Рим", "Oslo", "東京"])[THREE]


def trained(kind: str, x: Any, y: Any, *fit: Any, **parameters: Any) -> Any:
    given = {"iterations": 5, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1, **parameters}
    return getattr(catboost, f"CatBoost{kind}")(**given).fit(x, y, *fit)


def ranker() -> Any:
    pool = catboost.Pool(X, THREE, group_id=np.repeat(np.arange(9), 10))
    return trained("Ranker", pool, None, loss_function="YetiRank")


REGRESSORS: dict[str, tuple[Callable[[], Any], NDArray[np.float32]]] = {
    "a regressor": (lambda: trained("Regressor", X, X[:, 2]), X),
    "one tree": (lambda: trained("Regressor", X, X[:, 2], iterations=1), X),
    "a single feature": (lambda: trained("Regressor", X[:, :1], X[:, 2]), X[:, :1]),
    "10 000 features": (lambda: trained("Regressor", MANY, MANY[:, 9_999], iterations=2), MANY),
    "wide integers": (lambda: trained("Regressor", WIDE, WIDE[:, 0] > 0), WIDE),
    "infinities": (lambda: trained("Regressor", X, X[:, 2]), np.where(X > 1.5, np.inf, X)),
    "a tree of its own shape": (lambda: trained("Regressor", X, X[:, 2], grow_policy="Lossguide"), X),
    "counts": (lambda: trained("Regressor", X, THREE, loss_function="Poisson"), X),
    "a Tweedie": (lambda: trained("Regressor", X, THREE, loss_function="Tweedie:variance_power=1.5"), X),
    "uncertainty": (lambda: trained("Regressor", X, X[:, 2], loss_function="RMSEWithUncertainty"), X),
    "two targets": (lambda: trained("Regressor", X, FULL[:, 1:3], loss_function="MultiRMSE"), X),
    "quantiles": (lambda: trained("Regressor", X, X[:, 2], loss_function="MultiQuantile:alpha=0.1,0.9"), X),
    "a ranker": (ranker, X),
}
CLASSIFIERS: dict[str, tuple[Callable[[], Any], NDArray[np.float32]]] = {
    "numbers": (lambda: trained("Classifier", X, BINARY), X),
    "truths": (lambda: trained("Classifier", X, BINARY > 0), X),
    "fractions": (lambda: trained("Classifier", X, THREE + 0.5), X),
    "names": (lambda: trained("Classifier", X, TOWNS), X),
    "one against all": (lambda: trained("Classifier", X, TOWNS, loss_function="MultiClassOneVsAll"), X),
    "several labels": (lambda: trained("Classifier", X, np.c_[BINARY, 1 - BINARY], loss_function="MultiLogloss"), X),
    "chances": (lambda: trained("Classifier", X, BINARY * 0.7, loss_function="CrossEntropy"), X),
}
MODELS = REGRESSORS | CLASSIFIERS


@pytest.mark.parametrize("form", ["cbm", "json"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_catboost_answers(tmp_path: Path, name: str, form: str) -> None:
    train, rows = MODELS[name]
    if name == "a tree of its own shape" and form == "json":
        pytest.skip("CatBoost saves such a model as cbm alone")
    train().save_model(str(tmp_path / f"m.{form}"), format=form)
    kind = "Classifier" if name in CLASSIFIERS else "Ranker" if name == "a ranker" else "Regressor"
    own = getattr(catboost, f"CatBoost{kind}")().load_model(str(tmp_path / f"m.{form}"), format=form)
    expected = {"raw": catboost.CatBoost.predict(own, rows), "leaves": own.calc_leaf_indexes(catboost.Pool(rows))}
    with mlbuffet.load(tmp_path / f"m.{form}") as model:
        for signature in model.signatures:
            for some in (slice(None), slice(1), slice(0)):
                answer = model.predict({"features": rows[some]}, signature=signature)
                if signature in expected:
                    assert np.array_equal(answer[signature], expected[signature][some])
                elif signature == "contributions":
                    shap = own.get_feature_importance(catboost.Pool(rows), "ShapValues")
                    assert np.array_equal(answer["contributions"], shap[some])
                elif kind == "Classifier":
                    label = own.predict(rows)[some].reshape(answer["label"].shape)
                    texts = answer["label"].dtype.kind == "O"
                    assert [one.decode() if texts else one for one in answer["label"].tolist()] == label.tolist()
                    assert np.array_equal(answer["probabilities"], own.predict_proba(rows)[some])
                else:
                    assert np.array_equal(answer["prediction"], own.predict(rows)[some])


@pytest.mark.parametrize(
    ("name", "dtype", "labels"),
    [
        ("numbers", np.int64, ("0", "1")),
        ("truths", np.bool_, ("False", "True")),
        ("fractions", np.float64, ("0.5", "1.5", "2.5")),
        ("names", np.object_, ("Oslo", "Рим", "東京")),
        ("several labels", np.int64, ()),
    ],
)
def test_the_classes_are_labels_of_the_probabilities(
    tmp_path: Path, name: str, dtype: Any, labels: tuple[str, ...]
) -> None:
    CLASSIFIERS[name][0]().save_model(str(tmp_path / "m.cbm"))
    with mlbuffet.load(tmp_path / "m.cbm") as model:
        outputs = model.signatures["serving_default"].outputs
    assert outputs["label"].dtype == dtype
    assert outputs["probabilities"].labels == labels


TEXTS = np.array(["the cat sat", "мама мыла раму", "猫 が 座った the"])[THREE]
FRAME = pandas.DataFrame({"x": X[:, 1], "город": TOWNS, "size": np.array([2**60, 10, 20])[THREE], "said": TEXTS})
TARGET = np.where(X[:, 2] + (THREE == 1) > 0, "yes", "нет")
COLUMNS = {
    "x": X[:, 1],
    "город": np.array([town.encode() for town in TOWNS], object),
    "size": np.array([str(size).encode() for size in FRAME["size"]], object),
    "said": np.array([text.encode() for text in TEXTS], object),
}


def save_columns(path: Path, *, texts: bool = True) -> Any:
    frame = FRAME if texts else FRAME.drop(columns="said")
    given = {"cat_features": ["город", "size"], "text_features": ["said"] if texts else None}
    own = trained("Classifier", frame, TARGET, **given)
    own.save_model(str(path), format=path.suffix[1:])
    return catboost.CatBoostClassifier().load_model(str(path), format=path.suffix[1:])  # JSON rounds some numbers


@pytest.mark.parametrize("name", ["m.cbm", "m.json"])
def test_categories_and_texts_are_one_input_a_feature(tmp_path: Path, name: str) -> None:
    texts = name == "m.cbm"  # CatBoost saves no model with texts as JSON
    own = save_columns(tmp_path / name, texts=texts)
    frame, columns = (FRAME, COLUMNS) if texts else (FRAME.drop(columns="said"), {**COLUMNS})
    if not texts:
        del columns["said"]
    with mlbuffet.load(tmp_path / name) as model:
        specs = model.signatures["serving_default"].inputs.values()
        kinds = [(spec.name, str(spec.dtype), spec.description) for spec in specs]
        assert (
            kinds
            == [
                ("x", "float32", ""),
                ("город", "object", "a category"),
                ("size", "object", "a category"),
                ("said", "object", "a text"),
            ][: len(columns)]
        )
        answer = model.predict(columns)
        assert [one.decode() for one in answer["label"]] == own.predict(frame).tolist()
        assert np.array_equal(answer["probabilities"], own.predict_proba(frame))
        raw = model.predict(columns, signature="raw")["raw"]
        assert np.array_equal(raw, own.predict(frame, prediction_type="RawFormulaVal"))
        none = model.predict({column: values[:0] for column, values in columns.items()})
        assert {output: array.shape for output, array in none.items()} == {"label": (0,), "probabilities": (0, 2)}


@pytest.mark.parametrize(("column", "value"), [("город", "Κως"), ("город", ""), ("size", "30"), ("said", "ничего")])
def test_what_was_never_seen_is_answered_as_catboost_answers_it(tmp_path: Path, column: str, value: str) -> None:
    own = save_columns(tmp_path / "m.cbm")
    with mlbuffet.load(tmp_path / "m.cbm") as model:
        answer = model.predict({**COLUMNS, column: [value] * ROWS})
    assert np.array_equal(answer["probabilities"], own.predict_proba(FRAME.assign(**{column: value})))


def test_columns_of_a_matrix_have_names(tmp_path: Path) -> None:
    trained("Regressor", pandas.DataFrame(X, columns=["länge", "幅", "c", "d"]), BINARY).save_model(
        str(tmp_path / "m.cbm")
    )
    trained("Regressor", MANY, MANY[:, 0], iterations=1).save_model(str(tmp_path / "n.cbm"))
    with mlbuffet.load(tmp_path / "m.cbm") as model, mlbuffet.load(tmp_path / "n.cbm") as many:
        spec = model.signatures["raw"].inputs["features"]
        assert spec.labels == ("länge", "幅", "c", "d")
        assert many.signatures["raw"].inputs["features"].labels[-1] == "9999"


def test_embeddings_are_refused(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"x": X[:, 0], "e": list(FULL[:, 1:])})
    trained("Regressor", frame, X[:, 2], embedding_features=["e"]).save_model(str(tmp_path / "m.cbm"))
    with pytest.raises(LoadFailed, match=r"embeddings among its features.*a column for each number"):
        mlbuffet.load(tmp_path / "m.cbm")


@pytest.mark.parametrize(
    ("options", "problem"), [({"thread_count": -2}, "thread_count"), ({"labels": ["a"]}, "there is no option 'labels'")]
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    trained("Regressor", X, X[:, 2]).save_model(str(tmp_path / "m.cbm"))
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(tmp_path / "m.cbm", options=options)


REFUSED = {
    "m.bin": (b"CBM1\xe8\x1a\0\0", r"rename it so that it ends in .cbm"),
    "m": (b"CBM1\xe8\x1a\0\0", r"rename it so that it ends in .cbm"),
    "m.txt": (b'{"features_info": {"float_features": []}}', r"rename it so that it ends in .json"),
    "m.cbm": (b"", "empty or damaged"),
    "n.cbm": (b"CBM2", "empty or damaged"),
}


@pytest.mark.parametrize("runtime", [None, "catboost"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


@pytest.mark.parametrize("content", [b"{}", b"", b'{"features_info": 1}', b'{"learner":{"attributes":{}}}', b"CBM1"])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    assert CatBoostRuntime().accepts(tmp_path / "m.json") is False
    if content != b"CBM1":
        assert CatBoostRuntime().explain(tmp_path / "m.json") is None


@pytest.mark.parametrize("form", ["cbm", "json"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, form: str) -> None:
    trained("Regressor", X, X[:, 2], iterations=1).save_model(str(tmp_path / "whole"), format=form)
    content, path = (tmp_path / "whole").read_bytes(), tmp_path / f"m.{form}"
    for length in range(1, len(content.rstrip()), 97):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed):
            mlbuffet.load(path, runtime="catboost")


def test_one_file_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    own = save_columns(tmp_path / "towns.cbm")
    trained("Regressor", X, X[:, 2]).save_model(str(tmp_path / "line.json"), format="json")
    line = catboost.CatBoostRegressor().load_model(str(tmp_path / "line.json"), format="json")
    rows = '{"inputs": [{"name": "features", "shape": [2, 4], "datatype": "FP32", "data": %s}]}'
    data = "[" + ", ".join("NaN" if np.isnan(value) else repr(float(value)) for value in X[:2].ravel()) + "]"
    row = {"x": 0.5, "город": "Рим", "size": "10", "said": "the cat"}
    expected = own.predict_proba(pandas.DataFrame([row]))
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/line/infer", content=rows % data).json()
        assert answer["outputs"][0]["data"] == line.predict(X[:2]).tolist()
        columns = [
            {"name": name, "shape": [1], "datatype": "FP32" if name == "x" else "BYTES", "data": [value]}
            for name, value in row.items()
        ]
        classes = [{"name": "probabilities", "parameters": {"classification": 1}}]
        answer = client.post("/v2/models/towns/infer", json={"inputs": columns, "outputs": classes}).json()
        first = expected[0].argmax()
        assert answer["outputs"][0]["data"][0].split(":")[1:] == [str(first), own.classes_[first]]
        answer = client.post("/v1/models/towns:predict", json={"instances": [row]}).json()
        assert answer["predictions"] == [{"label": own.classes_[first], "probabilities": expected[0].tolist()}]
    (tmp_path / "in.json").write_text(json.dumps({name: [value] for name, value in row.items()}))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mlbuffet",
        "predict",
        tmp_path / "towns.cbm",
        "--inputs",
        tmp_path / "in.json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == {"label": [own.classes_[first]], "probabilities": expected.tolist()}


class TestCatBoost(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> CatBoostRuntime:
        return CatBoostRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = save_columns(tmp_path / "m.cbm")
        label = np.array([text.encode() for text in own.predict(FRAME[:5])], object)
        outputs = {"label": label, "probabilities": own.predict_proba(FRAME[:5])}
        return Artifact(tmp_path / "m.cbm", {name: values[:5] for name, values in COLUMNS.items()}, outputs)


class TestCatBoostInJSON(TestCatBoost):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = trained("Regressor", X, X[:, 2])
        own.save_model(str(tmp_path / "m.json"), format="json")
        own.load_model(str(tmp_path / "m.json"), format="json")
        outputs = {"prediction": own.predict(X[:5])}
        return Artifact(tmp_path / "m.json", {"features": X[:5]}, outputs, options={"thread_count": 2})


class TestCatBoostsContributions(TestCatBoost):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = trained("Classifier", X, THREE)
        own.save_model(str(tmp_path / "m.cbm"))
        outputs = {"contributions": own.get_feature_importance(catboost.Pool(X[:5]), "ShapValues")}
        return Artifact(tmp_path / "m.cbm", {"features": X[:5]}, outputs, signature="contributions")
