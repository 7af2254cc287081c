"""The LightGBM runtime answers what LightGBM itself answers, to the last bit, and keeps damaged files from it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

lightgbm = pytest.importorskip("lightgbm", reason="`make runtimes` installs it")
pandas = pytest.importorskip("pandas", reason="`make runtimes` installs it")

import mlbuffet
from mlbuffet import InvalidOptions, LoadFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_lightgbm.plugin import LightGBMRuntime

RANDOM = np.random.default_rng(0)
ROWS = 90
X = RANDOM.normal(size=(ROWS, 4))
X[::7, 1] = np.nan
FULL = np.nan_to_num(X)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.arange(ROWS) % 3
WIDE = (2**53 + RANDOM.integers(0, 2**30, size=(ROWS, 3))).astype(np.float64)
MANY = RANDOM.normal(size=(ROWS, 10_000))
CODES = np.c_[THREE, X[:, 2]]
KINDS = {
    "serving_default": {},
    "raw": {"raw_score": True},
    "leaves": {"pred_leaf": True},
    "contributions": {"pred_contrib": True},
}


def trained(x: Any, y: Any, rounds: int = 4, /, data: dict[str, Any] | None = None, **parameters: Any) -> Any:
    given = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, "num_leaves": 6, **parameters}
    return lightgbm.train(given, lightgbm.Dataset(x, y, **(data or {})), rounds)


def custom(scores: NDArray[Any], data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    return scores - data.get_label(), np.ones_like(scores)


def early_stopped() -> Any:
    train = lightgbm.Dataset(X[:60], X[:60, 2])
    stop = lightgbm.early_stopping(1, verbose=False)
    given = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3}
    booster = lightgbm.train(given, train, 50, [train.create_valid(X[60:], -X[60:, 2])], callbacks=[stop])
    assert booster.best_iteration < 3
    return booster


MODELS: dict[str, tuple[Callable[[], Any], NDArray[np.float64]]] = {
    "a regressor": (lambda: trained(X, X[:, 2]), X),
    "one tree": (lambda: trained(X, X[:, 2], 1), X),
    "a stump without a split": (lambda: trained(X, np.zeros(ROWS), 1, objective="regression"), X),
    "a single feature": (lambda: trained(X[:, :1], X[:, 2]), X[:, :1]),
    "10 000 features": (lambda: trained(MANY, MANY[:, 9_999], 2), MANY),
    "wide integers": (lambda: trained(WIDE, WIDE[:, 0] > np.median(WIDE[:, 0])), WIDE),
    "infinities": (lambda: trained(X, X[:, 2]), np.where(X > 1.5, np.inf, X)),
    "counts": (lambda: trained(X, THREE, objective="poisson"), X),
    "a quantile": (lambda: trained(X, X[:, 2], objective="quantile", alpha=0.9), X),
    "a ranker": (lambda: trained(X, THREE, data={"group": [10] * 9}, objective="lambdarank"), X),
    "a chance": (lambda: trained(X, BINARY * 0.7, objective="cross_entropy"), X),
    "linear models in leaves": (lambda: trained(FULL, X[:, 2], linear_tree=True), X),
    "dropped trees": (lambda: trained(X, X[:, 2], boosting="dart"), X),
    "a forest": (
        lambda: trained(X, X[:, 2], boosting="rf", bagging_freq=1, bagging_fraction=0.5),
        X,
    ),
    "categories as codes": (
        lambda: trained(CODES, X[:, 2], data={"categorical_feature": [0]}, min_data_per_group=3, cat_smooth=0.1),
        np.c_[np.resize([0, 1, 2, 7, -1, np.nan, 2**40], ROWS), X[:, 2]],
    ),
    "a custom objective": (lambda: trained(X, X[:, 2], objective=custom), X),
    "zeros as missing": (lambda: trained(FULL, X[:, 2], zero_as_missing=True), FULL),
    "early stopping": (early_stopped, X),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_lightgbm_answers(tmp_path: Path, name: str) -> None:
    train, rows = MODELS[name]
    train().save_model(tmp_path / "m.txt")
    own = lightgbm.Booster(model_file=tmp_path / "m.txt")
    with mlbuffet.load(tmp_path / "m.txt") as model:
        left_out = {"contributions"} if name == "linear models in leaves" else set()
        assert set(model.signatures) == set(KINDS) - left_out
        for signature in model.signatures:
            expected = own.predict(rows, **KINDS[signature])
            for some in (slice(None), slice(1), slice(0)):
                (answer,) = model.predict({"features": rows[some]}, signature=signature).values()
                assert answer.dtype == expected.dtype
                assert np.array_equal(answer, expected[some])


def test_ends_of_lines_may_be_those_of_windows(tmp_path: Path) -> None:
    trained(X, X[:, 2]).save_model(tmp_path / "m.txt")
    own = lightgbm.Booster(model_file=tmp_path / "m.txt").predict(X)
    (tmp_path / "m.lgb").write_bytes((tmp_path / "m.txt").read_bytes().replace(b"\n", b"\r\n"))
    with mlbuffet.load(tmp_path / "m.lgb") as model:
        assert np.array_equal(model.predict({"features": X})["prediction"], own)


@pytest.mark.parametrize("objective", ["binary", "multiclass", "multiclassova"])
def test_a_classifier_gives_labels_and_probabilities(tmp_path: Path, objective: str) -> None:
    classes = BINARY if objective == "binary" else THREE
    own = lightgbm.LGBMClassifier(n_estimators=4, objective=objective, n_jobs=1, verbose=-1).fit(X, classes)
    own.booster_.save_model(tmp_path / "m.model")
    with mlbuffet.load(tmp_path / "m.model") as model:
        answer = model.predict({"features": X})
        assert np.array_equal(
            model.predict({"features": X}, signature="contributions")["contributions"],
            own.predict(X, pred_contrib=True),
        )
    assert answer.keys() == {"label", "probabilities"}
    assert np.array_equal(answer["label"], own.predict(X))
    assert np.array_equal(answer["probabilities"], own.predict_proba(X))


FRAME = pandas.DataFrame(
    {
        "x": X[:, 1],
        "город": pandas.Categorical(np.array(["Рим", "Ōsaka", "Lima"])[THREE]),
        "size": pandas.Categorical(np.array([2**60, 10, 20])[THREE]),
        "half": pandas.Categorical(np.array([0.5, 1.5, np.nan])[THREE]),
        "only": pandas.Categorical(["one"] * ROWS),
        "new": pandas.Categorical((THREE > 1).astype(bool)),
    }
)
TARGET = FULL[:, 2] + 3 * (THREE == 1)
COLUMNS = {
    "x": X[:, 1],
    "город": np.array([town.encode() for town in FRAME["город"]], object),
    "size": np.array(FRAME["size"], np.int64),
    "half": np.array(FRAME["half"], np.float64),
    "only": np.array([b"one"] * ROWS, object),
    "new": np.array(FRAME["new"], bool),
}


def save_categories(path: Path) -> Path:
    trained(FRAME, TARGET, min_data_per_group=3, cat_smooth=0.1).save_model(path)
    return path


def test_categories_with_names_are_one_input_a_feature(tmp_path: Path) -> None:
    path = save_categories(tmp_path / "m.txt")
    own = lightgbm.Booster(model_file=path)
    with mlbuffet.load(path) as model:
        inputs = model.signatures["serving_default"].inputs
        dtypes = [str(spec.dtype) for spec in inputs.values()]
        assert list(inputs) == list(COLUMNS)
        assert dtypes == ["float64", "object", "int64", "float64", "object", "bool"]
        assert inputs["город"].description == "a category, of Lima, Ōsaka, Рим; any other counts as missing"
        for signature, arguments in KINDS.items():
            (answer,) = model.predict(COLUMNS, signature=signature).values()
            assert np.array_equal(answer, own.predict(FRAME, **arguments))


@pytest.mark.parametrize(("column", "value"), [("город", "Κως"), ("город", ""), ("size", 30), ("half", 7.0)])
def test_a_category_never_seen_is_missing_as_in_lightgbm(tmp_path: Path, column: str, value: object) -> None:
    path = save_categories(tmp_path / "m.txt")
    strange = FRAME.assign(**{column: pandas.Categorical([value] * ROWS)})
    with mlbuffet.load(path) as model:
        answer = model.predict({**COLUMNS, column: [value] * ROWS})["prediction"]
    assert np.array_equal(answer, lightgbm.Booster(model_file=path).predict(strange))


def test_ordered_categories_whose_place_is_unknown_are_refused(tmp_path: Path) -> None:
    sizes = pandas.Categorical(np.array(["s", "m", "l"])[THREE], categories=["s", "m", "l"], ordered=True)
    trained(FRAME.assign(size=sizes), TARGET).save_model(tmp_path / "m.txt")
    with pytest.raises(LoadFailed, match="the categories of 5 features, and says of 4"):
        mlbuffet.load(tmp_path / "m.txt")


def test_columns_of_a_matrix_have_names(tmp_path: Path) -> None:
    trained(X, BINARY, data={"feature_name": ["länge", "幅", "c", "d"]}).save_model(tmp_path / "m.txt")
    trained(MANY, MANY[:, 0], 1).save_model(tmp_path / "n.txt")
    with mlbuffet.load(tmp_path / "m.txt") as model, mlbuffet.load(tmp_path / "n.txt") as many:
        spec = model.signatures["raw"].inputs["features"]
        assert spec.labels == ("länge", "幅", "c", "d")
        assert many.signatures["raw"].inputs["features"].labels[-1] == "Column_9999"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"labels": ["a"]}, "labels has 1 names, and the model 2 classes"),
        ({"num_threads": -1}, "num_threads"),
        ({"nthread": 1}, "there is no option 'nthread'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    trained(X, BINARY, objective="binary").save_model(tmp_path / "m.txt")
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(tmp_path / "m.txt", options=options)


REFUSED = {
    "dump.json": (b'{"name":"tree","version":"v4","num_class":1}', "a dump of a LightGBM model"),
    "m.bin": (b"tree\nversion=v4\nnum_class=1\n", "under another name: rename it"),
    "m.txt": (b"tree\nversion=v4\nnum_class=1\n", "cut short, damaged or edited"),
    "m.lgb": (b"tree\r\nversion=v3\r\n\r\nTree=0\r\n", "cut short, damaged or edited"),
}


@pytest.mark.parametrize("runtime", [None, "lightgbm"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


@pytest.mark.parametrize("content", [b"tree\nbranch\n", b"", b"tree\n", b"{}", b"version=v4\ntree\n"])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.txt").write_bytes(content)
    assert LightGBMRuntime().accepts(tmp_path / "m.txt") is False
    assert LightGBMRuntime().explain(tmp_path / "m.txt") is None


def test_a_file_cut_short_anywhere_in_its_trees_or_parameters_is_refused(tmp_path: Path) -> None:
    trained(FRAME, TARGET).save_model(tmp_path / "whole.txt")
    content, path = (tmp_path / "whole.txt").read_bytes(), tmp_path / "m.txt"
    for length in range(0, content.index(b"\nend of parameters\n"), 53):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed, match="cut short, damaged or edited"):
            mlbuffet.load(path, runtime="lightgbm")


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("num_leaves=", "numleaves_="),
        ("\nleft_child=", "\nleft_child=-1 "),
        ("\nleaf_value=", "\nleaf_value=! "),
        ("\nthreshold=", "\n"),
        ("tree_sizes=", "tree_sizes=1 "),
    ],
)
def test_an_edited_tree_is_refused(tmp_path: Path, there: str, instead: str) -> None:
    booster = trained(X, X[:, 2], 1)
    text = booster.model_to_string()
    edited = text.replace(there, instead, 1)
    size = text.index("\nend of trees\n") - text.index("\nTree=0\n")
    change = len(edited) - len(text) if "tree_sizes" not in there else 0
    (tmp_path / "m.txt").write_text(edited.replace(f"tree_sizes={size}", f"tree_sizes={size + change}"))
    with pytest.raises(LoadFailed, match="cut short, damaged or edited"):
        mlbuffet.load(tmp_path / "m.txt")


def test_one_file_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    (tmp_path / "iris").mkdir()
    own = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(X, THREE)
    own.booster_.save_model(tmp_path / "iris" / "m.lgb")
    (tmp_path / "iris" / "model.toml").write_text('[options]\nlabels = ["κ", "b", "c"]\n')
    save_categories(tmp_path / "towns.txt")
    expected = own.predict_proba(X[:2])
    rows = '{"inputs": [{"name": "features", "shape": [2, 4], "datatype": "FP64", "data": %s}]%s}'
    data = "[" + ", ".join("NaN" if np.isnan(value) else repr(float(value)) for value in X[:2].ravel()) + "]"
    row = {"x": 0.5, "город": "Рим", "size": 10, "half": 0.5, "only": "one", "new": True}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/iris/infer", content=rows % (data, "")).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs["probabilities"] == expected.ravel().tolist()
        classes = ', "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]'
        answer = client.post("/v2/models/iris/infer", content=rows % (data, classes)).json()
        first = expected[0].argmax()
        assert answer["outputs"][0]["data"][0].split(":")[1:] == [str(first), ["κ", "b", "c"][first]]
        answer = client.post("/v1/models/towns:predict", json={"instances": [row, {**row, "город": "?"}]}).json()
        asked = {"signature_name": "leaves", "instances": [row]}
        assert len(client.post("/v1/models/towns:predict", json=asked).json()["predictions"][0]) == 4
    (tmp_path / "in.json").write_text(json.dumps({name: [value] for name, value in row.items()}))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mlbuffet",
        "predict",
        tmp_path / "towns.txt",
        "--inputs",
        tmp_path / "in.json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == {"prediction": answer["predictions"][:1]}


class TestLightGBM(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> LightGBMRuntime:
        return LightGBMRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(X, THREE)
        own.booster_.save_model(tmp_path / "m.txt")
        outputs = {"label": own.predict(X[:5]), "probabilities": own.predict_proba(X[:5])}
        return Artifact(tmp_path / "m.txt", inputs={"features": X[:5]}, outputs=outputs)


class TestLightGBMsLeaves(TestLightGBM):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        trained(X, X[:, 2]).save_model(tmp_path / "m.lgb")
        own = lightgbm.Booster(model_file=tmp_path / "m.lgb").predict(X[:5], pred_leaf=True)
        return Artifact(
            tmp_path / "m.lgb", {"features": X[:5]}, {"leaves": own}, signature="leaves", options={"num_threads": 2}
        )


class TestLightGBMWithCategories(TestLightGBM):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = save_categories(tmp_path / "m.txt")
        own = lightgbm.Booster(model_file=path).predict(FRAME[:5])
        return Artifact(path, {name: values[:5] for name, values in COLUMNS.items()}, outputs={"prediction": own})
