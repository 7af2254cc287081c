"""The Python runtime answers what the methods return, keeps folders apart, and says where code is wrong."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import numpy as np
import pytest

import mlbuffet
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed, NoRuntime, PredictFailed
from mlbuffet.testing import Artifact, RuntimeConformance
from mlbuffet_python.plugin import PythonRuntime
from python_models import write_model

F32 = np.float32
ROWS = np.array([[1, -2, 3, 0.5], [0, np.nan, np.inf, -1]], F32)
WIDE = np.array([[2**63 - 1, -(2**63)], [2**53 + 1, 0]])
TEXTS = np.array(["Ōsaka", "Рим", "", "🍵 tea"], object)

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "a sum": ('def f(self, x: Float32["batch", 4]) -> Float32["batch"]:\n    return x.sum(axis=1)', {"x": ROWS}),
    "one row": ('def f(self, x: Float32["batch", 4]) -> Float32["batch"]:\n    return x.sum(axis=1)', {"x": ROWS[:1]}),
    "no rows": ('def f(self, x: Float32["batch", 4]) -> Float32["batch"]:\n    return x.sum(axis=1)', {"x": ROWS[:0]}),
    "10 000 features": (
        'def f(self, x: Float64["batch", 10_000]) -> {"y": Float64["batch", 2]}:\n    return {"y": x[:, :2] * 2}',
        {"x": np.arange(20_000.0).reshape(2, 10_000)},
    ),
    "two outputs": (
        'def f(self, x: Float32["batch", 4]) -> {"least": Float32["batch"], "most": Float32["batch"]}:\n'
        '    return {"most": x.max(axis=1), "least": x.min(axis=1)}',
        {"x": ROWS},
    ),
    "text in other alphabets": (
        'def f(self, text: Text["batch"]) -> {"length": Int64["batch"], "shout": Text["batch"]}:\n'
        '    return {"length": [len(one) for one in text], "shout": [one.upper() for one in text]}',
        {"text": TEXTS},
    ),
    "wide integers": ('def f(self, x: Int64["batch", 2]) -> Int64["batch", 2]:\n    return x ^ 1', {"x": WIDE}),
    "a scalar": ("def f(self, x: Int32[()]) -> Int32[()]:\n    return x + 1", {"x": np.array(4, np.int32)}),
    "any rank": ("def f(self, x: Float32) -> Int64[()]:\n    return x.ndim", {"x": np.zeros((1, 2, 3), F32)}),
    "bytes": (
        'def f(self, data: Bytes["batch"]) -> {"size": Int64["batch"], "first": Bytes["batch"]}:\n'
        '    return {"size": [len(one) for one in data], "first": [one[:1] for one in data]}',
        {"data": np.array([b"\xff\x00", b""], object)},
    ),
    "named dimensions": (
        'def f(self, ids: Int64["batch", "words"], mask: Bool["batch", "words"]) -> Int64["batch"]:\n'
        "    return np.where(mask, ids, 0).sum(axis=1)",
        {"ids": np.array([[1, 2], [3, 4]]), "mask": np.array([[True, False], [True, True]])},
    ),
    "complex numbers": (
        'def f(self, x: Complex64["n"]) -> Float32["n"]:\n    return np.abs(x)',
        {"x": np.array([3 + 4j], np.complex64)},
    ),
    "an input that is left out": (
        'def f(self, x: Float32["batch"], bias: Float32["batch"] | None = None) -> Float32["batch"]:\n'
        "    return x * 2 if bias is None else x + bias",
        {"x": ROWS[0]},
    ),
    "an input that is not left out": (
        'def f(self, x: Float32["batch"], bias: Float32["batch"] | None = None) -> Float32["batch"]:\n'
        "    return x * 2 if bias is None else x + bias",
        {"x": ROWS[0], "bias": ROWS[1]},
    ),
    "a class method": ('@classmethod\ndef f(cls, x: Float32["n"]) -> Float32["n"]:\n    return -x', {"x": ROWS[0]}),
    "a static method": ('@staticmethod\ndef f(x: Float32["n"]) -> Float32["n"]:\n    return -x', {"x": ROWS[0]}),
    "lists": ('def f(self, x: Float32["n"]) -> Float32["n"]:\n    return x.tolist()', {"x": ROWS[0]}),
    "its own input": ('def f(self, x: Float32["n"]) -> Float32["n"]:\n    return x[::-1]', {"x": ROWS[0]}),
    "float64 for float32": (
        'def f(self, x: Float32["n"]) -> Float32["n"]:\n    return np.float64(x) / 3',
        {"x": ROWS[0]},
    ),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model"


def called_directly(folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the method returns without MLBuffet."""
    scope: dict[str, Any] = {"__name__": "model"}
    exec((folder / "model.py").read_text(), scope)
    result = scope["Model"]().f(**inputs)
    return result if isinstance(result, dict) else {"output": result}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_what_its_method_returns(model: Path, name: str) -> None:
    method, inputs = MODELS[name]
    write_model(model, f"@signature\n{method}")
    expected = called_directly(model, inputs)
    with mlbuffet.load(model) as loaded:
        answer = loaded.predict(inputs)
        assert list(loaded.signatures) == ["f"]
        specs = loaded.signatures["f"].outputs
    assert answer.keys() == expected.keys()
    for output, array in answer.items():
        shown = [one.decode() if isinstance(one, bytes) and name != "bytes" else one for one in array.ravel().tolist()]
        wanted = np.asarray(expected[output]).astype(specs[output].dtype)
        assert np.array_equal(np.array(shown, wanted.dtype).reshape(array.shape), wanted, equal_nan=wanted.dtype == F32)
        assert not any(np.shares_memory(array, one) for one in inputs.values())


SENTIMENT = """
@signature
def score(self, text: Text["batch"], scale: float = 1.0) -> {"label": Text["batch"], "score": Float32["batch"]}:
    '''How glad a text is.'''
    score = np.array([one.count("good") - one.count("bad") for one in text], np.float32) * scale
    return {"label": ["glad" if one > 0 else "sad" for one in score], "score": score}

@signature
def length(self, text: Text["batch"]) -> Int64["batch"]:
    return [len(one) for one in text]
"""


class TestPython(RuntimeConformance):
    capabilities = frozenset({"code"})

    @pytest.fixture
    def plugin(self) -> PythonRuntime:
        return PythonRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        return Artifact(
            write_model(tmp_path / "sentiment", SENTIMENT),
            inputs={"text": np.array([b"good tea", b"bad"], object)},
            outputs={"label": np.array([b"glad", b"sad"], object), "score": np.array([1, -1], F32)},
        )


class TestCallsOthers(RuntimeConformance):
    capabilities = frozenset({"code"})

    @pytest.fixture
    def plugin(self) -> PythonRuntime:
        return PythonRuntime()

    @pytest.fixture
    def artifact(self, tmp_path: Path) -> Artifact:
        double = '@signature\ndef f(self, x: Float32["batch"]) -> {"y": Float32["batch"]}:\n    return {"y": x * 2}'
        caller = """
            def __init__(self, context, offset: float = 1.0):
                self.double = context.models["double"]
                self.offset = np.float32(offset)

            @signature
            def f(self, x: Float32["batch"]) -> {"y": Float32["batch"]}:
                return {"y": self.double.predict({"x": x})["y"] + self.offset}
        """
        return Artifact(
            write_model(tmp_path / "caller", caller),
            inputs={"x": np.array([1, 2], F32)},
            outputs={"y": np.array([5, 7], F32)},
            options={"offset": 3.0},
            beside={"double": write_model(tmp_path / "beside" / "double", double)},
        )


def test_the_signature_is_what_the_annotations_say(model: Path) -> None:
    write_model(
        model,
        """
        @signature
        def f(
            self,
            x: Float32["batch", None, 4],
            mask: Bool["batch"] | None = None,
            top: int = 3,
            kind: Literal["a", "b"] = "a",
            limit: float | None = None,
        ) -> {"y": Text["batch"], "z": Float16["batch", 2]}:
            "What it does."
        """,
        header="from __future__ import annotations\nfrom typing import Literal\nfrom mlbuffet_python import *\n",
    )
    with mlbuffet.load(model) as loaded:
        (found,) = loaded.signatures.values()
    assert [str(spec) for spec in found.inputs.values()] == [
        "x: float32 (batch, any, 4)",
        "mask: bool (batch,) optional",
    ]
    assert [str(spec) for spec in found.outputs.values()] == ["y: bytes (batch,)", "z: float16 (batch, 2)"]
    assert {name: (str(one), one.default) for name, one in found.parameters.items()} == {
        "top": ("an int", 3),
        "kind": ("one of 'a', 'b'", "a"),
        "limit": ("a float", None),
    }
    assert found.description == "What it does."


def test_parameters_reach_the_method(model: Path) -> None:
    write_model(model, SENTIMENT)
    with mlbuffet.load(model) as loaded:
        assert loaded.predict({"text": ["good"]}, parameters={"scale": 2.5})["score"].tolist() == [2.5]
        assert loaded.signatures.default == "score"
        assert loaded.predict({"text": ["good"]}, signature="length")["output"].tolist() == [4]
        with pytest.raises(InvalidInput, match="parameter 'scale'"):
            loaded.predict({"text": ["good"]}, parameters={"scale": "much"})


def method(text: str) -> str:
    return f"@signature\n{dedent(text).strip()}"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (method('def f(self, x: Float32["n"]) -> Float32["n"]:\n    yield x'), "'f' yields its answer in pieces"),
        (method('async def f(self, x: Float32["n"]) -> Float32["n"]:\n    yield x'), "'f' yields its answer in pieces"),
        (method('async def f(self, x: Float32["n"]) -> Float32["n"]:\n    return x'), "'f' is a coroutine; write it"),
        (method('def f(x: Float32["n"]) -> Float32["n"]:\n    return x'), "'f' has no self before its inputs"),
        (method('def f() -> Float32["n"]:\n    return []'), "'f' has no self before its inputs"),
        (
            method('def f(self, x) -> Float32["n"]:\n    return x'),
            "the method 'f' does not say what 'x' is; annotate it",
        ),
        (
            method('def f(self, *x: Float32["n"]) -> Float32["n"]:\n    return x'),
            "the method 'f' takes 'x' not by its name",
        ),
        (method('def f(self, x: Float32["n"]):\n    return x'), "does not say what it returns"),
        (method('def f(self, x: Float32["n"]) -> {}:\n    return x'), "does not say what it returns"),
        (method('def f(self, x: Float32["n"]) -> {"y": int}:\n    return x'), "does not say what it returns"),
        (method('def f(self, x: Float32["n"] = 3) -> Float32["n"]:\n    return x'), "default for the input 'x'"),
        (method("def f(self, x: Float32[-1]) -> Float32[1]:\n    return x"), "is annotated wrongly: tensor 'x': -1"),
        (method("def f(self, top: int) -> Int64[()]:\n    return 1"), "the parameter 'top' without a default"),
        (
            method("def f(self, k: int | str | None = 1) -> Int64[()]:\n    return 1"),
            "takes the parameter 'k' as int or str; a parameter has one type, beside None",
        ),
        (
            method('def f(self, x: Float32["n"] | int) -> Int64[()]:\n    return 1'),
            r"TypeError in line \d of model\.py",
        ),
        ("concurrency = -1\n" + SENTIMENT, "the concurrency of its class is -1; write how many calls may run at once"),
        ("concurrency = 0\n" + SENTIMENT, "the concurrency of its class is 0; write how many"),
        ("concurrency = True\n" + SENTIMENT, "the concurrency of its class is True; write how many"),
        ("concurrency = '4'\n" + SENTIMENT, "the concurrency of its class is of the type str; write how many"),
        (method("def f(self, timeout: int = 1) -> Int64[()]:\n    return 1"), "cannot be called 'timeout'"),
        ("def f(self): pass", "no class with a method that is marked with @signature"),
        ("def __init__(self):\n    1 / 0\n" + SENTIMENT, r"ZeroDivisionError in line \d of model\.py"),
        ("import no_such_module\n" + SENTIMENT, "imports 'no_such_module', which is not there; install it"),
        ("def f(self:\n" + SENTIMENT, r"SyntaxError in line \d of model\.py"),
        ("raise SystemExit\n" + SENTIMENT, r"SystemExit in line \d of model\.py"),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_a_sentence(model: Path, members: str, reason: str) -> None:
    write_model(model, members)
    with pytest.raises(LoadFailed, match=reason) as caught:
        mlbuffet.load(model)
    assert str(model) not in caught.value.public


def test_several_classes_with_signatures_are_refused(model: Path) -> None:
    write_model(model, SENTIMENT, before="class Other:\n" + "".join(f"    {one}\n" for one in SENTIMENT.splitlines()))
    with pytest.raises(LoadFailed, match="several classes with methods marked with @signature: Other, Model"):
        mlbuffet.load(model)


def test_a_class_may_inherit_its_signatures(model: Path) -> None:
    write_model(model, SENTIMENT)
    with (model / "model.py").open("a") as file:
        file.write("\nclass Better(Model):\n    pass\n")
    with mlbuffet.load(model) as loaded:
        assert list(loaded.signatures) == ["score", "length"]


def line_of(text: str, folder: Path) -> int:
    return next(n for n, line in enumerate((folder / "model.py").read_text().splitlines(), 1) if text in line)


FAILING = """
@signature
def f(self, x: Float32["batch"]) -> Float32["batch"]:
    return helper.divided(x)
"""


def test_a_failure_names_the_line_to_clients_and_logs_its_traceback_once(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_model(model, FAILING, before="import helper\n")
    (model / "helper.py").write_text("def divided(x):\n    raise KeyError('a secret')\n")
    with mlbuffet.load(model) as loaded:
        for _ in range(2):
            with pytest.raises(PredictFailed, match="a secret") as caught:
                loaded.predict({"x": [1]})
    public = (
        "the model failed to compute signature 'f': KeyError in line 2 of helper.py; the server's log has the cause"
    )
    assert caught.value.public == public
    (record,) = caplog.records
    assert f'{model / "helper.py"}", line 2, in divided' in (caplog.text)
    assert f'{model / "model.py"}", line {line_of("return helper", model)}, in f' in caplog.text
    assert record.name == "mlbuffet.python"


@pytest.mark.parametrize(
    ("returns", "detail"),
    [
        ("None", "it returned NoneType, and its annotation says a dict of \\['y'\\]"),
        ('{"z": x}', "it returned a dict of \\['z'\\]"),
        ('{"y": ["a"]}', "its output 'y' is <U1, and its annotation says int32"),
        ('{"y": x + 0.5}', "its output 'y' is float64, and its annotation says int32"),
        ('{"y": [2**40]}', "its output 'y' is int64, and its annotation says int32"),
        ('{"y": x[:, None]}', "its output 'y' has shape"),
        ('{"y": [[1], [2, 3]]}', "inhomogeneous"),
    ],
)
def test_what_is_not_as_annotated_is_a_failure_that_says_so(model: Path, returns: str, detail: str) -> None:
    write_model(model, method(f'def f(self, x: Int32["n"]) -> {{"y": Int32["n"]}}:\n    return {returns}'))
    with mlbuffet.load(model) as loaded, pytest.raises(PredictFailed, match=detail):
        loaded.predict({"x": [1]})


def test_inputs_cannot_be_changed_and_bytes_that_are_no_text_are_refused(model: Path) -> None:
    write_model(
        model,
        """
        @signature
        def f(self, x: Float32["n"], text: Text["n"]) -> Float32["n"]:
            x *= 2
            return x
        """,
    )
    with mlbuffet.load(model) as loaded:
        with pytest.raises(PredictFailed, match="read-only"):
            loaded.predict({"x": [1.0], "text": ["a"]})
        with pytest.raises(InvalidInput, match="input 'text' holds bytes that are not UTF-8"):
            loaded.predict({"x": [1.0], "text": [b"\xff"]})


def test_a_model_may_refuse_what_it_is_given(model: Path) -> None:
    write_model(
        model,
        method('def f(self, x: Float32["n"]) -> Float32["n"]:\n    raise InvalidInput("x is no flower")'),
        before="from mlbuffet import InvalidInput",
    )
    with mlbuffet.load(model) as loaded, pytest.raises(InvalidInput, match="x is no flower"):
        loaded.predict({"x": [1.0]})


@pytest.mark.parametrize(
    "raised",
    ['ModelNotReady("m", 1, "no", 9)', 'LoadFailed("no")', 'PredictFailed("r", "s", "no")', "DeadlineExceeded(1)"],
)
def test_other_errors_of_mlbuffet_are_failures_where_the_code_raises_them(model: Path, raised: str) -> None:
    write_model(
        model,
        method(f'def f(self, x: Float32["n"]) -> Float32["n"]:\n    raise errors.{raised}'),
        before="from mlbuffet import errors",
    )
    with mlbuffet.load(model) as loaded, pytest.raises(PredictFailed) as caught:
        loaded.predict({"x": [1.0]})
    kind = raised.partition("(")[0]
    assert caught.value.reason == f"{kind} in line {line_of('raise', model)} of model.py"


def package(folder: Path, number: int) -> Path:
    """A model with helper modules, all of which give ``number``."""
    write_model(
        folder,
        """
        @signature
        def f(self) -> Int64[7]:
            import late
            return [helper.N, inner.N, sub.deep.N, again.N, by_name.N, late.N, json.N]
        """,
        before="""
            import helper, json
            import sub.deep
            from sub import inner
            from . import helper as again
            from sub.inner import by_name
        """,
    )
    files = {"helper": "from json import N", "sub/inner": "import helper as by_name\nfrom .deep import N"}
    files |= {"sub/deep": "from helper import *", "late": "from sub.deep import N", "json": f"N = {number}"}
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "__init__.py").touch()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_modules_of_two_folders_never_meet(tmp_path: Path) -> None:
    before = set(sys.modules)
    first = mlbuffet.load(package(tmp_path / "first", 1))
    second = mlbuffet.load(package(tmp_path / "second", 2))
    assert first.predict({})["output"].tolist() == [1] * 7
    assert second.predict({})["output"].tolist() == [2] * 7
    assert "helper" not in sys.modules
    assert json.loads("[]") == []
    first.close()
    assert second.predict({})["output"].tolist() == [2] * 7
    second.close()
    assert not [name for name in set(sys.modules) - before if name.startswith(("first", "second"))]
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_reload_uses_the_new_code_and_the_old_model_stays_as_it_was(tmp_path: Path) -> None:
    old = mlbuffet.load(package(tmp_path / "m", 1))
    new = mlbuffet.load(package(tmp_path / "m", 2))  # of the same size, in the same second
    assert new.predict({})["output"].tolist() == [2] * 7
    assert old.predict({})["output"].tolist() == [1] * 7  # also what it imports late
    old.close()
    new.close()


def test_a_folder_without_an_init_file_is_a_package_too(model: Path) -> None:
    write_model(
        model,
        method("def f(self) -> Int64[()]:\n    return tools.one.N"),
        before="import tools.one\ntry:\n    import tools.none\nexcept ImportError:\n    pass",
    )
    (model / "tools").mkdir()
    (model / "tools" / "one.py").write_text("N = 1")
    with mlbuffet.load(model) as loaded:
        assert loaded.predict({})["output"] == 1


@pytest.mark.parametrize("fault", ["1 / 0", "Model.concurrency = -1", "Model.wrong = signature(lambda: 1)"])
def test_what_failed_to_load_leaves_no_module_behind(model: Path, fault: str) -> None:
    write_model(model, SENTIMENT, before="import helper\n")
    (model / "helper.py").touch()
    with (model / "model.py").open("a") as file:
        file.write(f"\n{fault}\n")
    before, finders = set(sys.modules), list(sys.meta_path)
    with pytest.raises(LoadFailed):
        mlbuffet.load(model)
    assert not [name for name in set(sys.modules) - before if name.startswith("model_")]
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ("no-such-package>=2  # for tokens", r"no-such-package>=2 is not installed. Install it where MLBuffet runs"),
        ("numpy>=99", f"numpy>=99 is needed, and {version('numpy')} is installed"),
        ("nothing-a\nnothing-b==1", "nothing-a is not installed; nothing-b==1 is not installed"),
        ("\ngit+https://user:secret@example.com/x", "line 2: it names no package; write 'name'"),
    ],
)
def test_requirements_that_are_missing_are_named(model: Path, requirements: str, reason: str) -> None:
    write_model(model, SENTIMENT, before="import no_such_package")
    (model / "requirements.txt").write_text(requirements)
    with pytest.raises(LoadFailed, match=reason) as caught:
        mlbuffet.load(model)
    assert "secret" not in caught.value.public


def test_requirements_that_are_there_are_no_hindrance(model: Path) -> None:
    write_model(model, SENTIMENT)
    (model / "requirements.txt").write_text(
        "# of this model\n--index-url https://example.com\n\nNumPy >= 2.0\n"
        "nothing; python_version < '3'\nmsgspec \\\n    --hash=sha256:0\n"
    )
    mlbuffet.load(model).close()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "the option 'low' must be given"),
        ({"low": "x"}, "low: expected float, got str"),
        ({"low": 1, "lo": 2}, "there is no option 'lo'; the valid options are: low, names"),
    ],
)
def test_options_are_the_arguments_of_the_class(model: Path, options: dict[str, Any], problem: str) -> None:
    write_model(
        model,
        """
        def __init__(self, context, low: float, names=()):
            self.facts = [context.name, low, list(names)]

        @signature
        def f(self) -> Text[3]:
            return [str(fact) for fact in self.facts]
        """,
    )
    with mlbuffet.load(model, options={"low": 1, "names": ["a"]}) as loaded:
        assert loaded.predict({})["output"].tolist() == [b"model", b"1.0", b"['a']"]
    with pytest.raises(InvalidOptions, match=problem):
        mlbuffet.load(model, options=options)


def test_a_class_may_say_how_many_calls_it_takes_and_close_itself(model: Path) -> None:
    write_model(
        model,
        """
        concurrency = 1

        @signature
        def f(self) -> Int64[()]:
            return 1

        def close(self):
            (Path(__file__).parent / "closed").touch()
        """,
        before="from pathlib import Path",
    )
    loaded = mlbuffet.load(model)
    assert loaded.concurrency == 1
    assert loaded.predict({})["output"] == 1
    loaded.close()
    assert (model / "closed").exists()


@pytest.mark.parametrize("last", ["pass", "raise OSError('a secret')"])
def test_a_class_that_was_made_is_closed_where_loading_fails_after_it(model: Path, last: str) -> None:
    write_model(
        model,
        f"""
        @signature
        def f(self):
            return 1

        def close(self):
            (Path(__file__).parent / "closed").touch()
            {last}
        """,
        before="from pathlib import Path",
    )
    finders = list(sys.meta_path)
    with pytest.raises(LoadFailed, match="does not say what it returns"):
        mlbuffet.load(model)
    assert (model / "closed").exists()
    assert sys.meta_path == finders


def test_a_failure_names_the_runtime_as_it_is_registered(model: Path) -> None:
    write_model(model, method("def f(self) -> Int64[()]:\n    1 / 0"))
    runtimes = mlbuffet.Runtimes()
    runtimes.register(PythonRuntime(), name="ours")
    with mlbuffet.load(model, runtimes=runtimes) as loaded, pytest.raises(PredictFailed) as caught:
        loaded.predict({})
    assert caught.value.runtime == "ours"
    assert "ZeroDivisionError" in caught.value.reason


def test_other_folders_and_other_code_are_left_alone(tmp_path: Path) -> None:
    runtime = PythonRuntime()
    (tmp_path / "model.py").write_text("class Model: pass")
    assert not runtime.accepts(tmp_path)
    assert runtime.explain(tmp_path / "model.py") is None
    ours = write_model(tmp_path / "ours", SENTIMENT)
    assert runtime.accepts(ours)
    with pytest.raises(LoadFailed, match="served with the folder that it lies in"):
        mlbuffet.load(ours / "model.py")
    with pytest.raises(LoadFailed, match=r"no folder with a model\.py"):
        mlbuffet.load(tmp_path / "model.py", runtime="python")


def test_a_folder_whose_code_imports_nothing_of_ours_is_told_what_to_write(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "def f(self): ...", header="import numpy\n")
    with pytest.raises(LoadFailed, match=r"its model\.py does not import mlbuffet_python") as caught:
        mlbuffet.load(folder)
    assert caught.value.runtime == "python"
    (folder / "weights.bin").touch()  # it may be the code of something else
    with pytest.raises(NoRuntime):
        mlbuffet.load(folder)


def test_a_model_is_tested_where_mlbuffet_is_not_imported(model: Path) -> None:
    write_model(model, SENTIMENT)
    program = (
        "import sys; sys.path.insert(0, '.'); from model import Model\n"
        "print(Model().score(['good'])['label'], [name for name in sys.modules if name.startswith('mlbuffet.')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=model, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['glad'] []"


THREADED = """
def __init__(self, context):
    self.others = [context.models["one"], context.models["two"]]

@signature
def f(self, x: Float32["batch"]) -> {"y": Float32["batch"]}:
    with ThreadPoolExecutor() as threads:
        both = list(threads.map(lambda other: other.predict({"x": x})["output"], self.others))
    return {"y": both[0] + both[1]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    waits = """
        @signature
        def f(self, x: Float32["batch"]) -> Float32["batch"]:
            return x * {factor}
    """
    write_model(folder / "one", waits.format(factor=10))
    write_model(folder / "two", waits.format(factor=100))
    write_model(folder / "both", THREADED, before="from concurrent.futures import ThreadPoolExecutor")
    write_model(
        folder / "failing", "def f(self): pass\n" + method('def g(self, x: Float32["n"]) -> Float32["n"]:\n    1 / 0')
    )
    write_model(folder / "sentiment", SENTIMENT)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path, serve: Any, installed: Any) -> Iterator[httpx.Client]:
    with serve(folder, runtimes=installed) as client:
        yield client


def test_a_model_calls_others_in_threads_over_v2(client: httpx.Client) -> None:
    body = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
    answer = client.post("/v2/models/both/infer", json=body)
    assert answer.json()["outputs"][0]["data"] == [110, 220]


def test_a_model_is_served_over_v1(client: httpx.Client) -> None:
    answer = client.post("/v1/models/sentiment:predict", json={"instances": ["good", "bad"]})
    assert answer.json() == {"predictions": [{"label": "glad", "score": 1.0}, {"label": "sad", "score": -1.0}]}


def test_a_client_is_told_the_line_and_no_more(client: httpx.Client, folder: Path) -> None:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    answer = client.post("/v2/models/failing/infer", json=body)
    assert answer.status_code == 500
    line = line_of("1 / 0", folder / "failing")
    assert f"ZeroDivisionError in line {line} of model.py; the server's log has the cause" in answer.json()["error"]
    assert str(folder) not in answer.text


def test_the_command_line_runs_a_model(folder: Path) -> None:
    command = [sys.executable, "-m", "mlbuffet", "predict", "sentiment", "--parameter", "scale=3"]
    ran = subprocess.run(
        [*command, "--inputs", "-"], cwd=folder, input='{"text": ["good"]}', capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"label": ["glad"], "score": [3.0]}
