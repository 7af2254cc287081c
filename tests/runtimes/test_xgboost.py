"""The XGBoost runtime answers what XGBoost itself answers, to the last bit, and refuses what cannot be served."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

xgboost = pytest.importorskip("xgboost", reason="`make runtimes` installs it")
pandas = pytest.importorskip("pandas", reason="`make runtimes` installs it")

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed, NoRuntime
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_xgboost.plugin import XGBoostRuntime

RANDOM = np.random.default_rng(0)
ROWS = 90
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
X[::7, 1] = np.nan
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.arange(ROWS) % 3
FULL = np.nan_to_num(X)
WIDE = RANDOM.integers(-(2**62), 2**62, size=(ROWS, 3)).astype(np.float32)
MANY = RANDOM.normal(size=(ROWS, 10_000)).astype(np.float32)
INFINITE = np.where(X > 1.5, np.inf, X)


def trained(x: Any, y: Any, rounds: int = 4, /, data: dict[str, Any] | None = None, **parameters: Any) -> Any:
    parameters = {"max_depth": 3, "nthread": 1, "verbosity": 0, **parameters}
    return xgboost.train(parameters, xgboost.DMatrix(x, y, nthread=1, **(data or {})), rounds)


def early_stopped() -> Any:
    model = xgboost.XGBRegressor(n_estimators=50, early_stopping_rounds=1, n_jobs=1)
    model.fit(X[:60], X[:60, 2], eval_set=[(X[60:], -X[60:, 2])], verbose=False)
    assert model.best_iteration < 3
    return model.get_booster()


MODELS: dict[str, tuple[Callable[[], Any], NDArray[np.float32]]] = {
    "a regressor": (lambda: trained(X, X[:, 2]), X),
    "one tree": (lambda: trained(X, X[:, 2], 1), X),
    "a stump without a split": (lambda: trained(X, np.ones(ROWS), 1), X),
    "a single feature": (lambda: trained(X[:, :1], X[:, 2]), X[:, :1]),
    "10 000 features": (lambda: trained(MANY, MANY[:, 9_999], 2), MANY),
    "wide integers": (lambda: trained(WIDE, WIDE[:, 0] > 0), WIDE),
    "infinities": (lambda: trained(X, X[:, 2]), np.clip(INFINITE, -3e38, 3e38)),
    "counts": (lambda: trained(X, THREE, objective="count:poisson"), X),
    "quantiles": (lambda: trained(X, X[:, 2], objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]), X),
    "two targets": (lambda: trained(X, FULL[:, 1:3]), X),
    "vectors in leaves": (lambda: trained(X, FULL[:, 1:3], multi_strategy="multi_output_tree"), X),
    "several labels": (lambda: trained(X, np.c_[BINARY, 1 - BINARY], objective="binary:logistic"), X),
    "a ranker": (lambda: trained(X, THREE, data={"qid": np.repeat(np.arange(9), 10)}, objective="rank:ndcg"), X),
    "a linear model": (lambda: trained(FULL, BINARY, booster="gblinear", objective="reg:logistic"), FULL),
    "dropped trees": (lambda: trained(X, X[:, 2], booster="dart", rate_drop=0.5), X),
    "a forest": (lambda: trained(X, X[:, 2], num_parallel_tree=3, subsample=0.5), X),
    "numbers of classes": (lambda: trained(X, THREE, objective="multi:softmax", num_class=3), X),
    "survival": (
        lambda: trained(
            X, None, data={"label_lower_bound": FULL[:, 2] ** 2, "label_upper_bound": FULL[:, 2] ** 2 + 1},
            objective="survival:aft",
        ),
        X,
    ),
    "categories as codes": (
        lambda: trained(np.c_[THREE, X[:, 2]], X[:, 2], data={"feature_types": ["c", "q"], "enable_categorical": True}),
        np.c_[THREE + 1, X[:, 2]].astype(np.float32),
    ),
    "early stopping": (early_stopped, X),
    "hinge": (lambda: trained(X, BINARY, objective="binary:hinge"), X),
}  # fmt: skip
KINDS = {
    "serving_default": {},
    "raw": {"output_margin": True},
    "leaves": {"pred_leaf": True},
    "contributions": {"pred_contribs": True},
}
IN_PLACE = {"serving_default": "value", "raw": "margin"}


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_xgboost_answers(tmp_path: Path, name: str, suffix: str) -> None:
    train, rows = MODELS[name]
    train().save_model(tmp_path / f"m.{suffix}")
    own = xgboost.Booster({"nthread": 1}, model_file=tmp_path / f"m.{suffix}")
    best = own.attr("best_iteration")
    data = xgboost.DMatrix(rows, feature_types=own.feature_types, enable_categorical=True, nthread=1)
    with mlbuffet.load(tmp_path / f"m.{suffix}") as model:
        left_out = {"a linear model": {"leaves"}, "vectors in leaves": {"contributions"}}.get(name, set())
        assert set(model.signatures) == set(KINDS) - left_out
        for signature in model.signatures:
            rounds = (0, int(best or -1) + 1)
            expected = own.predict(data, iteration_range=rounds, **KINDS[signature])
            if name == "dropped trees" and signature in IN_PLACE:  # in another order of the sum
                expected = own.inplace_predict(rows, predict_type=IN_PLACE[signature])
            expected = expected[:, None] if signature == "leaves" and expected.ndim == 1 else expected
            for some in (slice(None), slice(1), slice(0)):
                (answer,) = model.predict({"features": rows[some]}, signature=signature).values()
                assert answer.dtype == expected.dtype
                assert np.array_equal(answer, expected[some])


@pytest.mark.parametrize("classes", [BINARY, THREE], ids=["two", "three"])
def test_a_classifier_gives_labels_and_probabilities(tmp_path: Path, classes: NDArray[np.int64]) -> None:
    own = xgboost.XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1).fit(X, classes)
    own.save_model(tmp_path / "m.ubj")
    with mlbuffet.load(tmp_path / "m.ubj") as model:
        answer = model.predict({"features": X})
    assert answer.keys() == {"label", "probabilities"}
    assert np.array_equal(answer["label"], own.predict(X))
    assert np.array_equal(answer["probabilities"], own.predict_proba(X))


TOWNS = pandas.Categorical(np.array(["Rome", "Oslo", "Lima"])[THREE])
SIZES = pandas.Categorical(np.array([2**60, 10, 20])[THREE])
FRAME = pandas.DataFrame({"town": TOWNS, "größe": SIZES, "x": X[:, 1]})
TARGET = FULL[:, 2] + 3 * (THREE == 1)
COLUMNS = {
    "town": np.array([town.encode() for town in FRAME["town"]], object),
    "größe": np.array(FRAME["größe"], np.int64),
    "x": X[:, 1],
}


def save_categories(path: Path, frame: Any = FRAME) -> Path:
    trained(frame, TARGET, data={"enable_categorical": True}).save_model(path)
    return path


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_categories_with_names_are_one_input_a_feature(tmp_path: Path, suffix: str) -> None:
    path = save_categories(tmp_path / f"m.{suffix}")
    own = xgboost.Booster(model_file=path)
    turned = FRAME.assign(town=FRAME["town"].cat.reorder_categories(["Oslo", "Lima", "Rome"]))
    with mlbuffet.load(path) as model:
        specs = model.signatures["serving_default"].inputs.values()
        assert [str(spec) for spec in specs] == ["town: bytes (batch,)", "größe: int64 (batch,)", "x: float32 (batch,)"]
        descriptions = [spec.description for spec in specs]
        assert "Lima, Oslo, Rome; empty text where it is missing" in descriptions[0]
        assert descriptions[1].endswith("; -1 where it is missing")
        for signature, arguments in KINDS.items():
            (answer,) = model.predict(COLUMNS, signature=signature).values()
            expected = own.predict(xgboost.DMatrix(turned, enable_categorical=True), **arguments)
            assert np.array_equal(answer, expected)
        gone = FRAME.assign(town=pandas.Categorical([None] * ROWS, categories=TOWNS.categories))
        gone["größe"] = pandas.Categorical([None] * ROWS, categories=FRAME["größe"].cat.categories)
        answer = model.predict({**COLUMNS, "town": [""] * ROWS, "größe": [-1] * ROWS})["prediction"]
        assert np.array_equal(answer, own.predict(xgboost.DMatrix(gone, enable_categorical=True)))


@pytest.mark.parametrize(
    ("column", "value"), [("town", "Κως"), ("town", "Oslp"), ("town", "Zürich"), ("größe", 30), ("größe", 2**62)]
)
def test_a_category_never_seen_is_an_error(tmp_path: Path, column: str, value: object) -> None:
    row = {name: values[:1].tolist() for name, values in COLUMNS.items()}
    with (
        mlbuffet.load(save_categories(tmp_path / "m.ubj")) as model,
        pytest.raises(InvalidInput, match=f"'{column}' has the category .?{value}.?, with which"),
    ):
        model.predict({**row, column: [value]})


def test_names_of_categories_that_xgboost_damages_are_told(tmp_path: Path) -> None:
    towns = pandas.Categorical(np.array(["жук", "жаба", "кот"])[THREE])
    with pytest.raises(LoadFailed, match="damaged the names of the categories of feature 0"):
        mlbuffet.load(save_categories(tmp_path / "m.json", FRAME.assign(town=towns)))


def test_columns_of_a_matrix_have_names(tmp_path: Path) -> None:
    trained(X, BINARY, data={"feature_names": ["länge", "幅", "c", "d"]}).save_model(tmp_path / "m.json")
    trained(MANY, MANY[:, 0], 1).save_model(tmp_path / "n.json")
    with mlbuffet.load(tmp_path / "m.json") as model, mlbuffet.load(tmp_path / "n.json") as many:
        spec = model.signatures["raw"].inputs["features"]
        assert spec.labels == ("länge", "幅", "c", "d")
        assert many.signatures["raw"].inputs["features"].labels[-1] == "f9999"


def test_another_number_may_mean_a_missing_value(tmp_path: Path) -> None:
    trained(X, FULL[:, 1]).save_model(tmp_path / "m.json")
    own = xgboost.Booster(model_file=tmp_path / "m.json").predict(xgboost.DMatrix(X))
    with mlbuffet.load(tmp_path / "m.json", options={"missing": -999, "nthread": 2}) as model:
        assert np.array_equal(model.predict({"features": np.nan_to_num(X, nan=-999)})["prediction"], own)
        assert np.array_equal(model.predict({"features": X})["prediction"], own)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"labels": ["a"]}, "labels has 1 names, and the model 2 classes"),
        ({"nthread": -1}, "nthread"),
        ({"thread": 1}, "there is no option 'thread'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    trained(X, BINARY, objective="binary:logistic").save_model(tmp_path / "m.json")
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(tmp_path / "m.json", options=options)


OLD = struct.pack("<fI", 0.5, 3).ljust(136, b"\0") + struct.pack("<Q", 15) + b"binary:logistic"
REFUSED = {
    "old.bin": (OLD, r"old binary format.*pip install 'xgboost<3.1'"),
    "old.model": (b"binf" + OLD, "old binary format"),
    "dump.json": (b'[\n  { "nodeid": 0, "leaf": 1 }\n]', "a dump of an XGBoost model"),
    "dump.txt": (b"booster[0]:\n0:leaf=1\n", "a dump of an XGBoost model"),
    "config.json": (b'{"learner":{"generic_param":{}}}', "the configuration of an XGBoost model"),
    "empty.ubj": (b"", "empty or damaged"),
    "m.xgb": (b'{"learner":{"attributes":{}}}', "under another name"),
}


@pytest.mark.parametrize("runtime", [None, "xgboost"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises((LoadFailed, NoRuntime), match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.json", b'{"learner": "me"}'),
        ("m.json", b'{"version": [1, 2]}'),
        ("m.json", b'{"features_info": {"float_features": []}}'),
        ("m.bin", b"\0" * 4096),
        ("m.model", b"tree\nversion=v4\n"),
    ],
)
def test_the_files_of_others_are_left_alone(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert XGBoostRuntime().accepts(tmp_path / name) is False
    assert XGBoostRuntime().explain(tmp_path / name) is None


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    trained(X, X[:, 2], 1).save_model(whole := tmp_path / f"whole.{suffix}")
    content, path = whole.read_bytes(), tmp_path / f"m.{suffix}"
    for length in range(1, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed):
            mlbuffet.load(path, runtime="xgboost")


def test_one_file_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    (tmp_path / "iris").mkdir()
    own = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(X, THREE)
    own.save_model(tmp_path / "iris" / "m.json")
    (tmp_path / "iris" / "model.toml").write_text('[options]\nlabels = ["κ", "b", "c"]\n')
    save_categories(tmp_path / "towns.ubj")
    expected = own.predict_proba(X[:2])
    rows = '{"inputs": [{"name": "features", "shape": [2, 4], "datatype": "FP32", "data": %s}]%s}'
    data = "[" + ", ".join("NaN" if np.isnan(value) else repr(float(value)) for value in X[:2].ravel()) + "]"
    row = {"town": "Oslo", "größe": 10, "x": 0.5}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/iris/infer", content=rows % (data, "")).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert np.array_equal(np.array(outputs["probabilities"], np.float32).reshape(2, 3), expected)
        classes = ', "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]'
        answer = client.post("/v2/models/iris/infer", content=rows % (data, classes)).json()
        first = expected[0].argmax()
        assert answer["outputs"][0]["data"][0].split(":")[1:] == [str(first), ["κ", "b", "c"][first]]
        metadata = client.get("/v2/models/towns").json()
        assert [one["name"] for one in metadata["inputs"]] == ["town", "größe", "x"]
        answer = client.post("/v1/models/towns:predict", json={"instances": [row, row]}).json()
    (tmp_path / "in.json").write_text('{"town": ["Oslo"], "größe": [10], "x": [0.5]}')
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mlbuffet",
        "predict",
        tmp_path / "towns.ubj",
        "--inputs",
        tmp_path / "in.json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == {"prediction": answer["predictions"][:1]}


class TestXGBoost(RuntimeConformance):
    may_import = frozenset({"mlbuffet_xgboost"})

    @pytest.fixture
    def plugin(self) -> XGBoostRuntime:
        return XGBoostRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = xgboost.XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1).fit(X, THREE)
        own.save_model(tmp_path / "m.json")
        outputs = {"label": own.predict(X[:5]), "probabilities": own.predict_proba(X[:5])}
        return Artifact(tmp_path / "m.json", inputs={"features": X[:5]}, outputs=outputs)


class TestXGBoostInUBJSON(TestXGBoost):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        trained(X, FULL[:, 1:3]).save_model(tmp_path / "m.ubj")
        own = xgboost.Booster(model_file=tmp_path / "m.ubj").predict(xgboost.DMatrix(X[:5]))
        options = {"nthread": 2, "missing": -1}
        return Artifact(tmp_path / "m.ubj", inputs={"features": X[:5]}, outputs={"prediction": own}, options=options)


class TestXGBoostWithCategories(TestXGBoost):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        path = save_categories(tmp_path / "m.ubj")
        own = xgboost.Booster(model_file=path).predict(xgboost.DMatrix(FRAME[:5], enable_categorical=True))
        inputs = {name: values[:5] for name, values in COLUMNS.items()}
        samples = dict.fromkeys(("raw", "leaves", "contributions"), inputs)  # other categories are refused
        return Artifact(path, inputs, outputs={"prediction": own}, samples=samples)


class TestXGBoostsContributions(TestXGBoost):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        trained(X, X[:, 2]).save_model(tmp_path / "m.json")
        own = xgboost.Booster(model_file=tmp_path / "m.json").predict(xgboost.DMatrix(X[:5]), pred_contribs=True)
        outputs = {"contributions": own}
        return Artifact(tmp_path / "m.json", {"features": X[:5]}, outputs, signature="contributions")
