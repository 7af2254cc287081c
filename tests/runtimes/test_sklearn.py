"""The scikit-learn runtime answers what scikit-learn itself answers, to the last bit, and trusts no type by itself."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

skops_io = pytest.importorskip("skops.io", reason="`make runtimes` installs it")
pandas = pytest.importorskip("pandas", reason="`make runtimes` installs it")

from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA, SparsePCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed, Runtimes
from mlbuffet.hookspecs import Risk
from mlbuffet.loading import scan
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_sklearn.plugin import SklearnRuntime

RANDOM = np.random.default_rng(0)
ROWS = 60
X = RANDOM.normal(size=(ROWS, 4))
GAPS = np.where(X > 1.2, np.nan, X)
MANY = RANDOM.normal(size=(ROWS, 10_000))
THREE = np.arange(ROWS) % 3
TOWNS = np.array(["Oslo", "Рим", "東京"])[THREE]
TEXTS = np.array(["the cat sat", "мама мыла раму", "猫が 座った the"], object)[THREE]
WIDE = (2**60 + THREE)[:, None]
NAMED = pandas.DataFrame(X, columns=["länge", "幅", "c", "d"])
MIXED = np.empty((ROWS, 3), object)
MIXED[:, 0], MIXED[:, 1], MIXED[:, 2] = TOWNS, THREE, X[:, 0]
METHODS = ("predict", "predict_proba", "decision_function", "score_samples", "transform")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make the training of tiny trees slow."""
    with threadpool_limits(1):
        yield


def dump(estimator: Any, path: Path) -> list[str]:
    """Save it, and say what has to be trusted."""
    skops_io.dump(estimator, path)
    return list(skops_io.get_untrusted_types(file=path))


def load(estimator: Any, folder: Path, **options: Any) -> mlbuffet.Model:
    path = folder / "m.skops"
    return mlbuffet.load(path, options={"trusted": dump(estimator, path), **options})


def plain(array: Any) -> Any:
    """An answer of scikit-learn as a tensor."""
    dense = np.asarray(array.toarray() if hasattr(array, "toarray") else array)
    if dense.dtype.kind not in "OU":
        return dense
    return np.array([text.encode() for text in dense.ravel()], object).reshape(dense.shape)


def check_answers(model: mlbuffet.Model, own: Any, inputs: dict[str, Any], rows: Any) -> None:
    """All signatures answer what the methods answer: for all rows, for one, and for none."""
    assert set(model.signatures) == {"serving_default", *(name for name in METHODS if hasattr(own, name))}
    for method in set(model.signatures) - {"serving_default"}:
        for some in (slice(None), slice(1), slice(0)):
            answer = model.predict({name: array[some] for name, array in inputs.items()}, signature=method)
            if some == slice(0):
                assert all(len(array) == 0 for array in answer.values())
                continue
            expected = getattr(own, method)(rows[some].copy())
            for array, values in zip(
                answer.values(), expected if isinstance(expected, list) else [expected], strict=True
            ):
                same = plain(values)
                assert array.dtype == same.dtype
                assert np.array_equal(array, same.reshape(array.shape), equal_nan=array.dtype.kind == "f")


MATRICES: dict[str, tuple[Callable[[], Any], Any]] = {
    "a classifier": (lambda: LogisticRegression().fit(X, TOWNS), X),
    "two classes": (lambda: LogisticRegression().fit(X, THREE > 1), X),
    "a regressor of two targets": (lambda: LinearRegression().fit(X, X[:, :2] * 3), X),
    "10 000 features": (lambda: Ridge().fit(MANY, THREE), MANY),
    "names of columns": (lambda: LogisticRegression().fit(NAMED, THREE), NAMED),
    "a forest": (lambda: RandomForestClassifier(5, n_jobs=2).fit(X, TOWNS), X),
    "values that are missing": (lambda: HistGradientBoostingClassifier(max_iter=3).fit(GAPS, THREE), GAPS),
    "pairs of classes": (lambda: SVC(decision_function_shape="ovo").fit(X, TOWNS), X),
    "neighbours": (lambda: KNeighborsClassifier(2).fit(X, THREE), X),
    "one row of training": (lambda: KNeighborsClassifier(1).fit(X[:1], THREE[:1]), X),
    "clusters": (lambda: KMeans(3, n_init=1, random_state=0).fit(X), X),
    "outliers": (lambda: IsolationForest(n_estimators=5, random_state=0).fit(X), X),
    "densities": (lambda: GaussianMixture(2, random_state=0).fit(X), X),
    "components": (lambda: PCA(2).fit(X), X),
    "components of which one row has no second dimension": (lambda: SparsePCA(2, random_state=0).fit(X), X),
    "several targets": (lambda: MultiOutputClassifier(LogisticRegression()).fit(X, np.c_[TOWNS, TOWNS[::-1]]), X),
    "what changes its input": (
        lambda: make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(X + 0, THREE),
        X,
    ),
    "the best of a search": (
        lambda: GridSearchCV(make_pipeline(PCA(), LinearSVC()), {"pca__n_components": [2]}).fit(X, THREE),
        X,
    ),
    "votes": (lambda: VotingClassifier([("a", LogisticRegression()), ("b", LinearSVC())]).fit(X, THREE), X),
    "calibrated": (lambda: CalibratedClassifierCV(LinearSVC()).fit(X, THREE), X),
    "frozen": (lambda: FrozenEstimator(LinearSVC().fit(X, THREE)), X),
    "text as a matrix": (lambda: OneHotEncoder(handle_unknown="ignore").fit(MIXED[:, :1]), MIXED[:, :1]),
    "wide integers": (lambda: OrdinalEncoder().fit(WIDE), WIDE),
    "integers as objects": (lambda: OneHotEncoder().fit(MIXED[:, 1:2]), MIXED[:, 1:2]),
    "text that is filled": (lambda: SimpleImputer(strategy="most_frequent").fit(MIXED[:, :1]), MIXED[:, :1]),
}


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("name", MATRICES)
def test_a_model_of_a_matrix_answers_what_scikit_learn_answers(tmp_path: Path, name: str) -> None:
    train, rows = MATRICES[name]
    own = train()
    with load(own, tmp_path) as model:
        dtype = model.signatures["serving_default"].inputs["features"].dtype
        check_answers(model, own, {"features": np.asarray(rows).astype(dtype)}, rows)


DOCUMENTS: dict[str, Callable[[], Any]] = {
    "words": lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TOWNS),
    "hashes": lambda: HashingVectorizer(n_features=16),
    "words and letters": lambda: make_union(CountVectorizer(), CountVectorizer(analyzer="char")).fit(TEXTS),
    "words after a function": lambda: make_pipeline(FunctionTransformer(), TfidfVectorizer()).fit(TEXTS),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_model_of_documents_takes_texts(tmp_path: Path, name: str) -> None:
    own = DOCUMENTS[name]()
    with load(own, tmp_path) as model:
        check_answers(model, own, {"text": plain(TEXTS)}, TEXTS)
        assert model.predict({"text": ["ничего", ""]}).keys() == model.signatures["serving_default"].outputs.keys()


def test_a_model_of_one_variable_takes_a_vector(tmp_path: Path) -> None:
    own = IsotonicRegression(out_of_bounds="clip").fit(X[:, 0], X[:, 1])
    with load(own, tmp_path) as model:
        check_answers(model, own, {"features": X[:, 2]}, X[:, 2])


FRAME = pandas.DataFrame(
    {
        "x": GAPS[:, 1],
        "город": TOWNS.astype(object),
        "size": WIDE[:, 0],
        "new": THREE > 1,
        "said": TEXTS,
        "unused": ["?"] * ROWS,
    }
)
COLUMNS = {name: plain(FRAME[name].to_numpy()) for name in FRAME.columns[:-1]}


def columns_by_name(final: Any) -> Any:
    choice = ColumnTransformer(
        [
            ("x", make_pipeline(SimpleImputer(), StandardScaler()), ["x"]),
            ("towns", OneHotEncoder(handle_unknown="ignore"), ["город", "size", "new"]),
            ("words", TfidfVectorizer(), "said"),
        ]
    )
    return make_pipeline(choice, final).fit(FRAME, THREE)


TABLES: dict[str, Callable[[], Any]] = {
    "a classifier": lambda: columns_by_name(LogisticRegression()),
    "a regressor of what is scaled": lambda: columns_by_name(
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)
    ),
    "a stack": lambda: StackingClassifier([("a", columns_by_name(LogisticRegression()))], cv=2).fit(FRAME, THREE),
}


@pytest.mark.parametrize("name", TABLES)
def test_columns_that_are_chosen_by_name_are_an_input_each(tmp_path: Path, name: str) -> None:
    own = TABLES[name]()
    with load(own, tmp_path) as model:
        inputs = model.signatures["serving_default"].inputs
        dtypes = [str(spec.dtype) for spec in inputs.values()]
        assert list(inputs) == list(COLUMNS)
        assert dtypes == ["float64", "object", "int64", "bool", "object"]
        assert inputs["город"].description == "a category: Oslo, Рим, 東京"
        check_answers(model, own, COLUMNS, FRAME)


def test_columns_that_differ_are_an_input_each_without_names_too(tmp_path: Path) -> None:
    encoders = make_column_transformer((OneHotEncoder(), [0, 1]), ("passthrough", [2]))
    own = make_pipeline(encoders, LogisticRegression()).fit(MIXED, TOWNS)
    with load(own, tmp_path) as model:
        assert [str(spec) for spec in model.signatures["predict"].inputs.values()] == [
            "x0: bytes (batch,)",
            "x1: int64 (batch,)",
            "x2: float64 (batch,)",
        ]
        check_answers(model, own, {"x0": plain(TOWNS), "x1": THREE, "x2": X[:, 0]}, MIXED)


def test_the_categories_of_boosted_trees_are_text(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"x": GAPS[:, 0], "город": pandas.Categorical(TOWNS)})
    own = HistGradientBoostingClassifier(max_iter=2).fit(frame, THREE)
    with load(own, tmp_path) as model:
        columns = {"x": GAPS[:, 0], "город": plain(TOWNS)}
        check_answers(model, own, columns, frame)
        strange = frame.assign(город="Κως")
        answer = model.predict({**columns, "город": ["Κως"] * ROWS})
        assert np.array_equal(answer["probabilities"], own.predict_proba(strange))


def gappy_towns(missing: object) -> Any:
    towns = FRAME["город"].astype(object)
    towns[::7] = missing
    return towns


@pytest.mark.parametrize(
    ("encoder", "missing"),
    [
        (lambda: OneHotEncoder(), None),
        (lambda: OrdinalEncoder(), np.nan),
        (lambda: TargetEncoder(), np.nan),
        (lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), np.nan),
        (lambda: make_pipeline(SimpleImputer(strategy="constant", missing_values=None), OneHotEncoder()), None),
    ],
)
def test_an_empty_text_is_a_missing_one(tmp_path: Path, encoder: Callable[[], Any], missing: object) -> None:
    frame = pandas.DataFrame({"town": gappy_towns(missing), "x": X[:, 0]})
    own = make_column_transformer((encoder(), ["town"]), remainder="passthrough").fit(frame, THREE % 2)
    texts = ["" if place % 7 == 0 else town for place, town in enumerate(TOWNS)]
    with load(own, tmp_path) as model:
        assert "empty where it is missing" in model.signatures["transform"].inputs["town"].description
        answer = model.predict({"town": texts, "x": X[:, 0]})["features"]
    assert np.array_equal(answer, plain(own.transform(frame)), equal_nan=True)


@pytest.mark.parametrize(("column", "value"), [("город", "Κως"), ("город", ""), ("size", -1), ("said", "ничего")])
def test_a_category_never_seen_is_what_the_encoder_makes_of_it(tmp_path: Path, column: str, value: object) -> None:
    own = columns_by_name(LogisticRegression())
    with load(own, tmp_path) as model:
        answer = model.predict({**COLUMNS, column: [value] * ROWS})["probabilities"]
    assert np.array_equal(answer, own.predict_proba(FRAME.assign(**{column: value})))


@pytest.mark.parametrize(
    ("own", "inputs", "problem"),
    [
        (LogisticRegression().fit(X, THREE), {"features": GAPS}, "input 'features' holds NaN or infinity"),
        (OneHotEncoder().fit(MIXED[:, :1]), {"features": [["Κως"]]}, "a category that it does not know"),
        (TfidfVectorizer().fit(TEXTS), {"text": [b"\xff"]}, "input 'text' holds bytes that are not text"),
    ],
)
def test_values_that_the_model_cannot_take_are_the_callers_error(
    tmp_path: Path, own: Any, inputs: dict[str, Any], problem: str
) -> None:
    with load(own, tmp_path) as model, pytest.raises(InvalidInput, match=problem) as caught:
        model.predict(inputs)
    assert "scikit" not in caught.value.public


def test_classes_and_columns_have_their_names(tmp_path: Path) -> None:
    with load(LogisticRegression().fit(NAMED, TOWNS), tmp_path) as model:
        assert model.signatures["predict"].inputs["features"].labels == ("länge", "幅", "c", "d")
        assert model.signatures["serving_default"].outputs["probabilities"].labels == ("Oslo", "Рим", "東京")
        assert model.signatures["decision_function"].outputs["scores"].labels == ("Oslo", "Рим", "東京")
    with load(MATRICES["several targets"][0](), tmp_path) as model:
        outputs = model.signatures["serving_default"].outputs
        assert outputs["label"].shape == ("batch", 2)
        assert outputs["probabilities_1"].labels == ("Oslo", "Рим", "東京")
    with load(MATRICES["pairs of classes"][0](), tmp_path) as model:
        assert model.signatures["decision_function"].outputs["scores"].labels == ()


def test_only_what_is_wanted_is_computed(tmp_path: Path) -> None:
    with load(LogisticRegression().fit(X, TOWNS), tmp_path) as model:
        assert model.predict({"features": X[:1]}, outputs=["label"])["label"].tolist() in (
            [b"Oslo"],
            ["Рим".encode()],
            ["東京".encode()],
        )
        assert model.predict({"features": X}, outputs=["probabilities"]).keys() == {"probabilities"}


def test_what_gives_its_input_back_gives_a_copy(tmp_path: Path) -> None:
    with load(FunctionTransformer().fit(X), tmp_path) as model:
        answer = model.predict({"features": X})["features"]
    assert np.array_equal(answer, X)
    assert not np.shares_memory(answer, X)


def test_dtypes_say_what_the_model_does_not(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"said": TEXTS, "n": THREE})
    own = ColumnTransformer([("length", FunctionTransformer(np.char.str_len), ["n"]), ("n", "passthrough", ["n"])])
    own = make_column_transformer((FunctionTransformer(), ["said"]), ("drop", ["n"])).fit(frame)
    with pytest.raises(InvalidInput), load(own, tmp_path) as model:
        model.predict({"said": TEXTS})
    with load(own, tmp_path, dtypes={"said": "text"}) as model:
        assert np.array_equal(model.predict({"said": TEXTS})["features"], plain(own.transform(frame)))
    with pytest.raises(InvalidOptions, match="dtypes names 'n', and the model reads said"):
        load(own, tmp_path, dtypes={"n": "int64"})


def risks_in(path: Path, **options: Any) -> list[Risk]:
    runtimes = Runtimes()
    runtimes.register(SklearnRuntime, name="sklearn")
    return scan(path, runtimes, options=options).risks


def test_a_model_of_types_that_skops_trusts_has_no_risks(tmp_path: Path) -> None:
    dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, TOWNS), tmp_path / "m.skops")
    assert risks_in(tmp_path / "m.skops") == []


def test_functions_are_risks_and_none_is_called(tmp_path: Path) -> None:
    dump(FunctionTransformer(os.mkdir), tmp_path / "m.skops")
    dumped = (tmp_path / "m.skops").read_bytes()
    assert risks_in(tmp_path / "m.skops") == [("code", "it makes objects of posix.mkdir")]
    (tmp_path / "m.skops").write_bytes(dumped[: len(dumped) // 2])
    with pytest.raises(LoadFailed, match="the zip file is damaged"):
        risks_in(tmp_path / "m.skops")


def test_types_are_trusted_by_the_option_alone(tmp_path: Path) -> None:
    (tree,) = dump(RandomForestClassifier(2).fit(X, THREE), tmp_path / "m.skops")
    refusal = rf'not trusted: "{tree}".* trusted = \["{tree}"\]'
    for trusted in ([], ["os.system"]):
        with pytest.raises(LoadFailed, match=refusal):
            mlbuffet.load(tmp_path / "m.skops", options={"trusted": trusted})
        assert risks_in(tmp_path / "m.skops", trusted=trusted) == [("code", f"it makes objects of {tree}")]
    assert risks_in(tmp_path / "m.skops", trusted=[tree]) == []
    assert "trusted" not in SklearnRuntime.client_options
    mlbuffet.load(tmp_path / "m.skops", options={"trusted": [tree]}).close()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"trusted": True}, "trusted"),
        ({"dtypes": {"x0": "str"}}, "dtypes"),
        ({"dtypes": {"lost": "text"}}, "dtypes names 'lost', and the model reads x0, x1, x2, x3"),
        ({"n_jobs": 1}, "there is no option 'n_jobs'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidOptions, match=problem):
        load(LogisticRegression().fit(X, THREE), tmp_path, **options)


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        (lambda: LogisticRegression(), "it is not fitted"),
        (lambda: DBSCAN().fit(X), "its DBSCAN says nothing of new rows"),
        (lambda: DictVectorizer().fit([{"a": 1}]), "begins with a DictVectorizer, which reads dictionaries"),
        (lambda: LabelEncoder().fit(THREE), "could not compute transform of rows that were made up"),
        (lambda: {"weights": X}, "it holds no estimator"),
        (
            lambda: OneHotEncoder().fit(np.array([["2020-01-01"]], "M8[D]")),
            "a column of categories of the type datetime64",
        ),
    ],
)
def test_what_answers_nothing_is_refused(tmp_path: Path, saved: Callable[[], Any], reason: str) -> None:
    with pytest.raises(LoadFailed, match=reason):
        load(saved(), tmp_path)


def test_a_type_that_is_not_installed_is_named(tmp_path: Path) -> None:
    dump(LogisticRegression().fit(X, THREE), tmp_path / "own.skops")
    with zipfile.ZipFile(tmp_path / "own.skops") as own, zipfile.ZipFile(tmp_path / "m.skops", "w") as other:
        for name in own.namelist():
            other.writestr(name, own.read(name).replace(b"sklearn.linear_model._logistic", b"lost.models"))
    with pytest.raises(LoadFailed, match="it needs the module 'lost', which is not installed"):
        mlbuffet.load(tmp_path / "m.skops", options={"trusted": ["lost.models.LogisticRegression"]})


def zip_of(**files: str) -> bytes:
    from io import BytesIO

    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return content.getvalue()


REFUSED = {
    "m.pkl": (pickle.dumps(StandardScaler()), r"skops.io.dump\(joblib.load\('model.pkl'\), 'model.skops'\)"),
    "m.joblib": (pickle.dumps(make_pipeline(StandardScaler()), protocol=2), "it is a pickle of a scikit-learn model"),
    "n.joblib": (b"x\x9c" + bytes(64), r"joblib.load\('model.joblib'\)"),
    "m.skops": (b"", "empty or damaged"),
    "n.skops": (b"no zip", "empty or damaged"),
    "m.zip": (zip_of(schema_json="{}"), "rename it so that it ends in .skops"),
    "o.skops": (b"PK\3\4cut", "damaged, cut short"),
    "p.skops": (zip_of(other_json="{}"), "it has no schema.json"),
    "q.skops": (zip_of(schema_json="{}"), "it holds no estimator"),
    "r.skops": (zip_of(schema_json="[" * 10**5), "it holds no estimator"),
}


@pytest.mark.parametrize("runtime", [None, "sklearn"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_told(tmp_path: Path, name: str, runtime: str | None) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=reason):
        mlbuffet.load(tmp_path / name, runtime=runtime)


@pytest.mark.parametrize("content", [b"", pickle.dumps([1.5]), b"PK\3\4cut", zip_of(config_json="{}"), b"sklearn."])
def test_the_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    for name in ("m.joblib", "m.zip", "m.pkl"):
        (tmp_path / name).write_bytes(content)
        assert SklearnRuntime().accepts(tmp_path / name) is False
        assert SklearnRuntime().explain(tmp_path / name) is None


def test_a_file_that_is_cut_short_or_changed_anywhere_is_refused(tmp_path: Path) -> None:
    trusted = dump(RandomForestClassifier(2).fit(X, THREE), tmp_path / "whole.skops")
    content, path = (tmp_path / "whole.skops").read_bytes(), tmp_path / "m.skops"
    for length in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:length])
        with pytest.raises(LoadFailed, match="damaged"):
            mlbuffet.load(path, runtime="sklearn", options={"trusted": trusted})
    for place in range(40, content.index(b"PK\1\2"), len(content) // 20):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(LoadFailed):
            mlbuffet.load(path, runtime="sklearn", options={"trusted": trusted})


def test_one_file_is_served_over_http_and_by_the_command_line(
    tmp_path: Path, serve: Any, installed: mlbuffet.Runtimes
) -> None:
    own = columns_by_name(LogisticRegression())
    (tmp_path / "towns").mkdir()
    trusted = dump(own, tmp_path / "towns" / "m.skops")
    (tmp_path / "towns" / "model.toml").write_text(f"[options]\ntrusted = {json.dumps(trusted)}\n")
    line = LogisticRegression().fit(X, TOWNS)
    dump(line, tmp_path / "iris.skops")
    row = {"x": 0.5, "город": "Рим", "size": 2**60 + 1, "new": True, "said": "the cat"}
    expected = own.predict_proba(pandas.DataFrame([row]))
    tensor = {"name": "features", "shape": [2, 4], "datatype": "FP64", "data": X[:2].ravel().tolist()}
    with serve(tmp_path, runtimes=installed) as client:
        answer = client.post("/v2/models/iris/infer", json={"inputs": [tensor]}).json()
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        assert outputs["label"] == line.predict(X[:2]).tolist()
        assert outputs["probabilities"] == line.predict_proba(X[:2]).ravel().tolist()
        classes = [{"name": "probabilities", "parameters": {"classification": 1}}]
        answer = client.post("/v2/models/iris/infer", json={"inputs": [tensor], "outputs": classes}).json()
        assert answer["outputs"][0]["data"][0].split(":")[2] == line.predict(X[:1])[0]
        answer = client.post("/v1/models/towns:predict", json={"instances": [row]}).json()
        assert answer["predictions"][0]["probabilities"] == expected[0].tolist()
        asked = {"signature_name": "decision_function", "instances": X[:1].tolist()}
        answer = client.post("/v1/models/iris:predict", json=asked).json()
        assert answer["predictions"] == line.decision_function(X[:1]).tolist()
    (tmp_path / "in.json").write_text(json.dumps({name: [value] for name, value in row.items()}))
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mlbuffet",
        "predict",
        tmp_path / "towns",
        "--inputs",
        tmp_path / "in.json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert json.loads(ran.stdout)["probabilities"] == expected.tolist()


class TestSklearn(RuntimeConformance):
    @pytest.fixture
    def plugin(self) -> SklearnRuntime:
        return SklearnRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        own = LogisticRegression().fit(X, TOWNS)
        outputs = {"label": plain(own.predict(X[:5])), "probabilities": own.predict_proba(X[:5])}
        return Artifact(
            tmp_path / "m.skops", {"features": X[:5]}, outputs, options={"trusted": dump(own, tmp_path / "m.skops")}
        )


class TestSklearnsColumns(TestSklearn):
    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        choice = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["город"]), remainder="passthrough")
        own = make_pipeline(choice, LogisticRegression()).fit(FRAME[["x", "город"]].fillna(0), THREE)
        dump(own, tmp_path / "m.skops")
        columns = {"x": np.nan_to_num(COLUMNS["x"][:5]), "город": COLUMNS["город"][:5]}
        outputs = {"label": own.predict(FRAME[:5][["x", "город"]].fillna(0))}
        return Artifact(tmp_path / "m.skops", columns, outputs, signature="predict")
