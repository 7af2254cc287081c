"""The conformance suite passes right runtimes, and catches a deliberately wrong one for each of its rules."""

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet import LoadFailed, Runtimes
from mlbuffet.testing.neighbours import context_of
from mlbuffet.testing.samples import LAYOUTS, damaged_copies

RIGHT = '''
import ctypes
import json
import locale
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
from mlbuffet import InvalidInput, InvalidOptions, LoadFailed, Signature, Signatures, TensorSpec, hookimpl
from mlbuffet.hookspecs import Risk, RuntimePlugin

KEPT = []


class Handle:
    def __init__(self, factors, offset):
        self.factors = factors
        self.offset = offset


class Right:
    @hookimpl
    def accepts(self, path):
        """A .scale file: JSON with 'factors'."""
        return path.suffix == ".scale" and path.read_bytes().startswith(b'{"factors"')

    @hookimpl
    def load(self, path, options):
        for name in options:
            if name != "offset":
                raise InvalidOptions(f"there is no {name}", ["offset"])
        try:
            factors = np.array(json.loads(path.read_bytes())["factors"])
        except (OSError, ValueError):
            return self.refuse(path)
        return Handle(factors, options.get("offset", 0.0))

    def refuse(self, path):
        raise LoadFailed("it is not JSON with 'factors'")

    @hookimpl
    def signature(self, model):
        x, y = TensorSpec("x", float, (None, 2)), TensorSpec("y", float, (None, 2))
        return Signatures({"serving_default": Signature([x], [y, TensorSpec("kind", object, (None,))])})

    @hookimpl
    def predict(self, model, signature, inputs):
        return {"y": inputs["x"] * model.factors + model.offset, "kind": np.array([b"row"] * len(inputs["x"]), object)}
'''

SUITE = """
import numpy as np
import pytest
from mlbuffet.testing import Artifact, RuntimeConformance
from plug import Wrong


class TestWrong(RuntimeConformance):
    patience = getattr(Wrong, "patience", 120.0)

    @pytest.fixture
    def plugin(self):
        return Wrong()

    @pytest.fixture
    def artifact(self, tmp_path):
        path = tmp_path / "model.scale"
        path.write_text('{"factors": [2.0, 3.0]}')
        x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.5, 6.5], [6.5, 12.5]])
        return Artifact(path, {"x": x}, {"y": y, "kind": np.array([b"row", b"row"], object)}, options={"offset": 0.5})
"""

SLOW = (
    "test_accepts_needs_no_framework",
    "test_damage_is_an_error",
    "test_risks_run_nothing",
)  # each starts an interpreter

WRONG = {
    "a platform that is no name": (
        "test_it_is_a_runtime",
        "platform = 7",
    ),
    "no description": (
        "test_it_says_what_it_accepts",
        "Right.accepts.__doc__ = None",
    ),
    "the description of the specification": (
        "test_it_says_what_it_accepts",
        "Right.accepts.__doc__ = RuntimePlugin.accepts.__doc__",
    ),
    "a number for yes": (
        "test_it_accepts_its_artifact",
        """
        @hookimpl
        def accepts(self, path):
            return int(super().accepts(path)) or False
        """,
    ),
    "someone else's files": (
        "test_it_refuses_what_is_foreign",
        """
        @hookimpl
        def accepts(self, path):
            return path.suffix == ".md" or super().accepts(path)
        """,
    ),
    "a word on everything": (
        "test_it_explains_only_its_own_kind",
        """
        @hookimpl
        def explain(self, path):
            return "it cannot be served"
        """,
    ),
    "None for no": (
        "test_it_refuses_what_is_foreign test_accepts_never_raises",
        """
        @hookimpl
        def accepts(self, path):
            return super().accepts(path) or None
        """,
    ),
    "an error for a path where nothing is": (
        "test_accepts_never_raises",
        """
        @hookimpl
        def accepts(self, path):
            if not path.exists():
                raise LookupError(path)
            return super().accepts(path)
        """,
    ),
    "a name without a file": (
        "test_accepts_never_raises",
        """
        @hookimpl
        def accepts(self, path):
            return path.suffix == ".scale"
        """,
    ),
    "a framework imported with the plugin": (
        "test_accepts_needs_no_framework",
        "import heavy",
    ),
    "a framework imported by accepts": (
        "test_accepts_needs_no_framework",
        """
        @hookimpl
        def accepts(self, path):
            import heavy
            return super().accepts(path)
        """,
    ),
    "another static dimension": (
        "test_the_signature_is_true "
        "test_every_signature_answers "
        "test_shapes_follow_the_number_of_rows "
        "test_no_rows_give_no_rows "
        "test_loads_may_run_side_by_side "
        "test_the_files_are_not_needed_after_load "
        "test_the_values_are_right "
        "test_rows_are_independent "
        "test_inputs_are_not_changed "
        "test_outputs_are_fresh "
        "test_threads_agree "
        "test_loading_again_and_again_does_not_grow "
        "test_memory_layout_does_not_matter "
        "test_two_models_live_side_by_side",
        """
        @hookimpl
        def signature(self, model):
            outputs = [TensorSpec("y", float, (None, 3)), TensorSpec("kind", object, (None,))]
            return Signatures({"serving_default": Signature([TensorSpec("x", float, (None, 2))], outputs)})
        """,
    ),
    "another static dimension that the core does not hold": (
        "test_the_signature_is_true "
        "test_every_signature_answers "
        "test_shapes_follow_the_number_of_rows "
        "test_no_rows_give_no_rows",
        """
        output_shapes_may_differ = True
        @hookimpl
        def signature(self, model):
            outputs = [TensorSpec("y", float, (None, 3)), TensorSpec("kind", object, (None,))]
            return Signatures({"serving_default": Signature([TensorSpec("x", float, (None, 2))], outputs)})
        """,
    ),
    "an optional input without which predict fails": (
        "test_the_signature_is_true",
        """
        @hookimpl
        def signature(self, model):
            outputs = [TensorSpec("y", float, (None, 2)), TensorSpec("kind", object, (None,))]
            inputs = [TensorSpec("x", float, (None, 2), optional=True)]
            return Signatures({"serving_default": Signature(inputs, outputs)})
        """,
    ),
    "text that is not bytes": (
        "test_the_signature_is_true "
        "test_every_signature_answers "
        "test_shapes_follow_the_number_of_rows "
        "test_loads_may_run_side_by_side "
        "test_the_files_are_not_needed_after_load "
        "test_the_values_are_right "
        "test_rows_are_independent "
        "test_inputs_are_not_changed "
        "test_outputs_are_fresh "
        "test_threads_agree "
        "test_loading_again_and_again_does_not_grow "
        "test_memory_layout_does_not_matter "
        "test_two_models_live_side_by_side",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {**outputs, "kind": np.array(["row"] * len(inputs["x"]), object)}
        """,
    ),
    "other values": (
        "test_the_values_are_right "
        "test_rows_are_independent "
        "test_memory_layout_does_not_matter "
        "test_two_models_live_side_by_side",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {**outputs, "y": outputs["y"] + 0.01}
        """,
    ),
    "a squeezed dimension": (
        "test_rows_are_independent test_shapes_follow_the_number_of_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {**outputs, "y": outputs["y"].squeeze()}
        """,
    ),
    "a second signature that fails": (
        "test_every_signature_answers",
        """
        @hookimpl
        def signature(self, model):
            signatures = super().signature(model)
            return Signatures({**signatures, "twice": signatures["serving_default"]})
        @hookimpl
        def predict(self, model, signature, inputs):
            return self.answers[signature](model, inputs)
        answers = {"serving_default": lambda model, inputs: Right.predict(None, model, None, inputs)}
        """,
    ),
    "a second signature with another shape than it declares": (
        "test_every_signature_answers",
        """
        @hookimpl
        def signature(self, model):
            first = super().signature(model)["serving_default"]
            second = Signature(first.inputs.values(), [TensorSpec("sum", float, (None, 2))])
            return Signatures({"serving_default": first, "sum": second})
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {"sum": outputs["y"].sum(axis=1)} if signature == "sum" else outputs
        """,
    ),
    "five rows that become four": (
        "test_shapes_follow_the_number_of_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {name: array[:4] if len(array) == 5 else array for name, array in outputs.items()}
        """,
    ),
    "a failure at no rows": (
        "test_no_rows_give_no_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            inputs["x"].max()
            return super().predict(model, signature, inputs)
        """,
    ),
    "another shape at no rows": (
        "test_no_rows_give_no_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            return {name: array if len(array) else array.ravel() for name, array in outputs.items()}
        """,
    ),
    "a row where there is none": (
        "test_no_rows_give_no_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            x = inputs["x"] if len(inputs["x"]) else np.zeros((1, 2))
            return super().predict(model, signature, {"x": x})
        """,
    ),
    "computing in the caller's memory": (
        "test_inputs_are_not_changed "
        "test_memory_layout_does_not_matter "
        "test_threads_agree "
        "test_loads_may_run_side_by_side "
        "test_the_files_are_not_needed_after_load",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            inputs["x"] += 1
            return outputs
        """,
    ),
    "plain memory demanded": (
        "test_memory_layout_does_not_matter test_no_rows_give_no_rows",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            inputs["x"].shape = (-1, 2)
            memoryview(inputs["x"]).cast("B")
            return super().predict(model, signature, inputs)
        """,
    ),
    "an answer kept for the next call": (
        "test_outputs_are_fresh",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            outputs = super().predict(model, signature, inputs)
            kinds = vars(model).setdefault(len(inputs["x"]), outputs["kind"])
            return {**outputs, "kind": kinds}
        """,
    ),
    "state between callers": (
        "test_threads_agree",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            self.inputs = inputs
            time.sleep(0.0001)
            return super().predict(model, signature, self.inputs)
        """,
    ),
    "callers that block each other": (
        "test_threads_agree",
        """
        patience = 0.3
        @hookimpl
        def predict(self, model, signature, inputs):
            if threading.current_thread() is not threading.main_thread():
                time.sleep(0.1)
            return super().predict(model, signature, inputs)
        """,
    ),
    "options ignored": (
        "test_unknown_options_are_refused",
        """
        @hookimpl
        def load(self, path, options):
            return super().load(path, {"offset": options.get("offset", 0.0)})
        """,
    ),
    "options for clients that there are not": (
        "test_unknown_options_are_refused",
        """
        client_options = "offset"
        """,
    ),
    "options refused without their names": (
        "test_unknown_options_are_refused",
        """
        @hookimpl
        def load(self, path, options):
            if "no_such_option" in options:
                raise InvalidOptions("no", ["offset"])
            return super().load(path, options)
        """,
    ),
    "options refused without the valid ones": (
        "test_unknown_options_are_refused",
        """
        @hookimpl
        def load(self, path, options):
            if "no_such_option" in options:
                raise InvalidOptions("no_such_option", [])
            return super().load(path, options)
        """,
    ),
    "options refused with another error": (
        "test_unknown_options_are_refused",
        """
        @hookimpl
        def load(self, path, options):
            if "no_such_option" in options:
                raise TypeError("no_such_option")
            return super().load(path, options)
        """,
    ),
    "concurrent loads that break each other": (
        "test_loads_may_run_side_by_side",
        """
        concurrent_loads = True
        @hookimpl
        def load(self, path, options):
            if KEPT:
                raise RuntimeError("another file is being read")
            KEPT.append(path)
            time.sleep(0.01)
            KEPT.clear()
            return super().load(path, options)
        """,
    ),
    "an unload that breaks other loads": (
        "test_loads_may_run_side_by_side",
        """
        @hookimpl
        def load(self, path, options):
            KEPT.append(path)
            if threading.current_thread() is not threading.main_thread():
                time.sleep(0.01)
            return super().load(KEPT.pop(), options)
        @hookimpl
        def unload(self, model):
            KEPT.clear()
        """,
    ),
    "files read when they are asked": (
        "test_the_files_are_not_needed_after_load",
        """
        @hookimpl
        def load(self, path, options):
            model = super().load(path, options)
            model.path = path
            return model
        @hookimpl
        def predict(self, model, signature, inputs):
            json.loads(model.path.read_bytes())
            return super().predict(model, signature, inputs)
        """,
    ),
    "a crash on a damaged file": (
        "test_damage_is_an_error",
        """
        def refuse(self, path):
            os.abort()
        """,
    ),
    "a hang on a damaged file": (
        "test_damage_is_an_error",
        """
        patience = 2.0
        def refuse(self, path):
            time.sleep(60)
        """,
    ),
    "a panic on a damaged file": (
        "test_damage_is_an_error",
        """
        def refuse(self, path):
            raise type("Panic", (BaseException,), {})
        """,
    ),
    "a model of nothing": (
        "test_damage_is_an_error",
        """
        def refuse(self, path):
            return Handle(np.ones(2), 0.0)
        """,
    ),
    "a path told to clients": (
        "test_damage_is_an_error",
        """
        def refuse(self, path):
            raise LoadFailed(f"bad: {path}")
        """,
    ),
    "a risk of a plain artifact": (
        "test_risks_are_those_of_the_artifact",
        """
        @hookimpl
        def risks(self):
            return [Risk("code", "it may run anything")]
        """,
    ),
    "a risk that is a sentence": (
        "test_risks_are_those_of_the_artifact",
        """
        @hookimpl
        def risks(self):
            return ["it may run anything"]
        """,
    ),
    "risks found by loading": (
        "test_risks_run_nothing",
        """
        @hookimpl
        def risks(self, path):
            exec(compile("factor = 2", path, "exec"))
        """,
    ),
    "risks found by unpickling": (
        "test_risks_run_nothing",
        """
        @hookimpl
        def risks(self, path):
            pickle.loads(b"cbuiltins\\nlen\\n.")
        """,
    ),
    "risks found by a program": (
        "test_risks_run_nothing",
        """
        @hookimpl
        def risks(self, path):
            subprocess.run([sys.executable, "-c", ""])
        """,
    ),
    "a crash at the risks of a damaged file": (
        "test_risks_run_nothing",
        """
        @hookimpl
        def risks(self, path):
            if not path.is_file() or not path.read_bytes().endswith(b"}"):
                os.abort()
        """,
    ),
    "a path in a risk": (
        "test_risks_run_nothing",
        """
        @hookimpl
        def risks(self, path):
            return [] if path.read_bytes().endswith(b"}") else [Risk("files", f"it reads {path}")]
        """,
    ),
    "a line of the hook risks": (
        "test_nothing_is_printed",
        """
        @hookimpl
        def risks(self):
            print("looking")
        """,
    ),
    "a line on stdout": (
        "test_nothing_is_printed",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            print("predicting")
            return super().predict(model, signature, inputs)
        """,
    ),
    "a line on stderr": (
        "test_nothing_is_printed",
        """
        @hookimpl
        def load(self, path, options):
            sys.stderr.write("loading")
            return super().load(path, options)
        """,
    ),
    "a line of native code": (
        "test_nothing_is_printed",
        """
        @hookimpl
        def unload(self, model):
            ctypes.CDLL(None).puts(b"unloading")
        """,
    ),
    "another working folder": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def load(self, path, options):
            os.chdir(path.parent)
            return super().load(path, options)
        """,
    ),
    "a variable of the environment": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def load(self, path, options):
            os.environ["OMP_NUM_THREADS"] = "1"
            return super().load(path, options)
        """,
    ),
    "the seed of numpy": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            np.random.seed(0)
            return super().predict(model, signature, inputs)
        """,
    ),
    "the seed of random": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def signature(self, model):
            random.seed(0)
            return super().signature(model)
        """,
    ),
    "numpy's errors": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def load(self, path, options):
            np.seterr(all="ignore")
            return super().load(path, options)
        """,
    ),
    "a signal handler": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def load(self, path, options):
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            return super().load(path, options)
        """,
    ),
    "another locale": (
        "test_the_process_stays_as_it_is",
        """
        @hookimpl
        def load(self, path, options):
            locale.setlocale(locale.LC_ALL, "C")
            return super().load(path, options)
        """,
    ),
    "models that share what unload frees": (
        "test_two_models_live_side_by_side",
        """
        @hookimpl
        def load(self, path, options):
            model = super().load(path, options)
            KEPT.append(path.name)
            return model
        @hookimpl
        def predict(self, model, signature, inputs):
            if threading.current_thread() is threading.main_thread():
                KEPT.index("model.scale")
            return super().predict(model, signature, inputs)
        @hookimpl
        def unload(self, model):
            KEPT.clear()
        """,
    ),
    "an unload that raises": (
        "test_unload_lets_the_model_go",
        """
        @hookimpl
        def unload(self, model):
            model.close()
        """,
    ),
    "models kept": (
        "test_unload_lets_the_model_go",
        """
        @hookimpl
        def unload(self, model):
            KEPT.append(model)
        """,
    ),
    "memory kept": (
        "test_loading_again_and_again_does_not_grow",
        """
        @hookimpl
        def unload(self, model):
            KEPT.append(b"x" * 2**20)
        """,
    ),
    "files left open": (
        "test_loading_again_and_again_does_not_grow",
        """
        @hookimpl
        def unload(self, model):
            os.open(os.devnull, os.O_RDONLY)
        """,
    ),
    "threads left running": (
        "test_loading_again_and_again_does_not_grow",
        """
        @hookimpl
        def unload(self, model):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        """,
    ),
}


@pytest.fixture(autouse=True)
def pytest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the runs inside the tests are twice as quick


def run(pytester: pytest.Pytester, *options: str, own_process: bool = False) -> pytest.RunResult:
    pytester.syspathinsert()
    start = pytester.runpytest_subprocess if own_process else pytester.runpytest_inprocess
    return start("-rfE", "-Werror", "--import-mode=importlib", "-pno:cacheprovider", *options)


def write_plugin(pytester: pytest.Pytester, body: str) -> None:
    methods = indent(dedent(body), "    ")
    pytester.makepyfile(plug=f"{RIGHT}\n\nclass Wrong(Right):\n{methods}\n", heavy="", test_plug=SUITE)


def failures(result: pytest.RunResult) -> set[str]:
    return set(re.findall(r"^(?:FAILED|ERROR) .*::(test_\w+)", result.stdout.str(), re.MULTILINE))


def test_a_right_runtime_passes_every_test(pytester: pytest.Pytester) -> None:
    write_plugin(pytester, "pass")
    run(pytester).assert_outcomes(passed=30, skipped=2)


KNOWING = """
@hookimpl
def load(self, path, options, context):
    assert context.name
    return super().load(path, options)

@hookimpl
def signature(self, model):
    from mlbuffet import ParameterSpec
    one = super().signature(model)["serving_default"]
    parameters = {"factor": ParameterSpec(float, default=1.0)}
    return Signatures({"serving_default": Signature(one.inputs.values(), one.outputs.values(), parameters=parameters)})

@hookimpl
def predict(self, model, signature, inputs, request):
    whole = super().predict(model, signature, inputs)
    whole["y"] *= request.parameters["factor"]
    return {name: whole[name] for name in request.outputs}

@hookimpl
def concurrency(self, model):
    return 1

@hookimpl
def memory(self, model):
    return model.factors.nbytes

@hookimpl
def risks(self, path, options):
    return [] if options else [Risk("files", "it is read without options")]
"""


def test_a_right_runtime_that_takes_and_says_all_it_can_passes_every_test(pytester: pytest.Pytester) -> None:
    write_plugin(pytester, KNOWING)
    result = run(pytester)
    assert (result.ret, failures(result)) == (0, set())


@pytest.mark.parametrize(("rules", "body"), WRONG.values(), ids=WRONG)
def test_a_wrong_runtime_fails_the_rule_it_breaks_and_no_other(
    pytester: pytest.Pytester, rules: str, body: str
) -> None:
    write_plugin(pytester, body)
    unneeded = " or ".join(test for test in SLOW if test not in rules)
    harms_its_process = rules in ("test_loading_again_and_again_does_not_grow", "test_the_process_stays_as_it_is")
    result = run(pytester, "-k", f"not ({unneeded})", own_process=harms_its_process)
    assert failures(result) == set(rules.split())


def test_every_rule_has_a_wrong_runtime(pytester: pytest.Pytester) -> None:
    write_plugin(pytester, "pass")
    listed = run(pytester, "--collect-only", "-q").stdout.str()
    assert set(re.findall(r"::(test_\w+)", listed)) == {rule for rules, _ in WRONG.values() for rule in rules.split()}


def test_a_module_may_be_the_plugin_and_light_imports_may_be_allowed(pytester: pytest.Pytester) -> None:
    hooks = "\n".join(f"{hook} = _right.{hook}" for hook in ("accepts", "load", "signature", "predict"))
    pytester.makepyfile(
        plug=f"import heavy\n{RIGHT}\n_right = Right()\n{hooks}\n",
        heavy="",
        test_plug=SUITE.replace("from plug import Wrong", "import plug")
        .replace("return Wrong()", "return plug")
        .replace('patience = getattr(Wrong, "patience", 120.0)', "may_import = frozenset({'heavy'})"),
    )
    run(pytester).assert_outcomes(passed=30, skipped=2)


@pytest.mark.parametrize("folder", ["", "tests"])
def test_a_plugin_may_be_defined_in_a_file_of_tests(pytester: pytest.Pytester, folder: str) -> None:
    tests = SUITE.replace("from plug import Wrong", "").replace(
        "class TestWrong", "class Wrong(Right): pass\n\nclass TestWrong"
    )
    pytester.makepyfile(heavy="")
    (pytester.path / folder).mkdir(exist_ok=True)
    (pytester.path / folder / "test_plug.py").write_text(f"import heavy\n{RIGHT}\n{tests}")
    run(pytester).assert_outcomes(passed=30, skipped=2)


def test_what_accepts_imports_counts_in_a_file_of_tests_too(pytester: pytest.Pytester) -> None:
    accepts = indent(dedent(WRONG["a framework imported by accepts"][1]), "    ")
    tests = SUITE.replace("from plug import Wrong", "").replace(
        "class TestWrong", f"class Wrong(Right):\n{accepts}\n\nclass TestWrong"
    )
    pytester.makepyfile(heavy="", test_plug=f"{RIGHT}\n{tests}")
    assert failures(run(pytester, "-k", "test_accepts_needs_no_framework")) == {"test_accepts_needs_no_framework"}


def test_random_numbers_may_be_drawn_and_no_rows_may_be_refused(pytester: pytest.Pytester) -> None:
    write_plugin(
        pytester,
        """
        @hookimpl
        def predict(self, model, signature, inputs):
            random.random()
            np.random.random()
            if not len(inputs["x"]):
                raise InvalidInput("there are no rows")
            return super().predict(model, signature, inputs)
        """,
    )
    run(pytester).assert_outcomes(passed=30, skipped=2)


def test_a_signature_that_takes_no_random_inputs_gets_a_sample(pytester: pytest.Pytester) -> None:
    write_plugin(
        pytester,
        """
        @hookimpl
        def signature(self, model):
            signatures = super().signature(model)
            return Signatures({**signatures, "ones": signatures["serving_default"]})
        @hookimpl
        def predict(self, model, signature, inputs):
            if signature == "ones" and not (inputs["x"] == 1).all():
                raise InvalidInput("only ones are taken")
            return super().predict(model, signature, inputs)
        """,
    )
    result = run(pytester, "-k", "test_every_signature_answers")
    assert failures(result) == {"test_every_signature_answers"}
    result.stdout.fnmatch_lines(["*'ones' with random inputs: only ones are taken; *samples={'ones': ...})*"])
    samples = 'options={"offset": 0.5}, samples={"ones": {"x": np.ones((3, 2))}})'
    pytester.makepyfile(test_plug=SUITE.replace('options={"offset": 0.5})', samples))
    run(pytester, "-k", "test_every_signature_answers").assert_outcomes(passed=1)
    pytester.makepyfile(test_plug=SUITE.replace('options={"offset": 0.5})', samples.replace('"ones"', '"one"')))
    result = run(pytester, "-k", "test_every_signature_answers")
    result.stdout.fnmatch_lines(["*names ?'one'?; the signatures are ?'ones', 'serving_default'?*"])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a line on stdout", "*`predict` wrote to stdout: 'predicting\\n'. Use the module logging*"),
        ("a line of native code", "*`unload` wrote to stdout: 'unloading\\n'*"),
        ("another working folder", "*`load` changed the working folder (*): use absolute paths*"),
        ("a variable of the environment", "*`load` changed the environment (?'OMP_NUM_THREADS'?): set it once*"),
        ("a signal handler", "*`load` changed a signal handler (?'Terminated'?): leave signals to the program*"),
        ("the seed of numpy", "*`predict` changed the seed of numpy.random (the same in each call): use a `numpy.*"),
        ("a failure at no rows", "*`predict` failed for no rows: *or raise InvalidInput*"),
        (
            "concurrent loads that break each other",
            "*another file is being read*_loads = True`: leave that out*",
        ),
        (
            "files read when they are asked",
            "*`predict` needs the files after `load`: *read what*in `load`*",
        ),
    ],
)
def test_a_failure_says_which_hook_did_what_and_what_to_do(pytester: pytest.Pytester, what: str, message: str) -> None:
    rule, body = WRONG[what]
    write_plugin(pytester, body)
    run(pytester, "-k", rule, own_process=rule == "test_the_process_stays_as_it_is").stdout.fnmatch_lines([message])


def test_what_cannot_be_judged_is_skipped(pytester: pytest.Pytester) -> None:
    write_plugin(
        pytester,
        "@hookimpl\n"
        "def load(self, path, options):\n"
        "    return vars(super().load(path, options))\n"
        "@hookimpl\n"
        "def signature(self, model):\n"
        "    return Signatures({'serving_default': Signature([TensorSpec('x', 'bfloat16', ())],"
        " [TensorSpec('y', 'bfloat16', ())])})\n"
        "@hookimpl\n"
        "def predict(self, model, signature, inputs):\n"
        "    return {'y': np.asarray(inputs['x'] * inputs['x'].dtype.type(2))}\n",
    )
    suite = SUITE.replace("import numpy", "import ml_dtypes\nimport numpy")
    artifact = 'Artifact(path, {"x": np.array(3, ml_dtypes.bfloat16)}, {"y": np.array(6, ml_dtypes.bfloat16)})'
    pytester.makepyfile(test_plug=re.sub(r"Artifact\(path, .*", artifact, suite))
    result = run(pytester, "-rs")
    result.assert_outcomes(passed=26, skipped=6)
    result.stdout.fnmatch_lines_random(["*no free first axis*", "*a dict cannot be watched*"])


def test_a_plugin_that_an_entry_point_cannot_name_is_told_so(pytester: pytest.Pytester) -> None:
    write_plugin(pytester, "pass")
    local = SUITE.replace(
        "return Wrong()", "class Local(Wrong): risks = hookimpl(lambda self: None)\n        return Local()"
    )
    local = local.replace("import numpy", "from mlbuffet import hookimpl\nimport numpy")
    pytester.makepyfile(test_plug=local)
    result = run(pytester, "-k", " or ".join(SLOW))
    assert failures(result) == set(SLOW)
    result.stdout.fnmatch_lines(["*a fresh interpreter died*as an entry point would*"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def predict(self, model, signature, inputs): return {}", "*does not implement predict*"),
        ("accepts = load = signature = predict = None", "*not a whole runtime*"),
        ("@hookimpl\ndef forecast(self): pass", "*there is no hook 'forecast'; the hooks are accepts, load, *"),
    ],
)
def test_a_plugin_that_is_no_runtime_fails_at_registration(pytester: pytest.Pytester, body: str, message: str) -> None:
    write_plugin(pytester, body)
    result = run(pytester, "-k", "test_it_is_a_runtime")
    assert failures(result) == {"test_it_is_a_runtime"}
    result.stdout.fnmatch_lines([message])


def test_a_plugin_that_only_wraps_is_no_runtime(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        plug="import mlbuffet\n\n\nclass Wrong:\n    @mlbuffet.hookimpl(wrapper=True)\n"
        "    def predict(self):\n        return (yield)\n",
        test_plug=SUITE,
    )
    result = run(pytester, "-k", "test_it_is_a_runtime")
    assert failures(result) == {"test_it_is_a_runtime"}
    result.stdout.fnmatch_lines(["*implements no hook itself*"])


def test_the_suite_itself_is_not_collected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from mlbuffet.testing import RuntimeConformance")
    assert run(pytester).ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("value", [[[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]], 1.5, [], [b"a", b"b"], b"a"])
def test_a_layout_changes_where_values_lie_and_nothing_else(
    layout: Callable[[NDArray[Any]], NDArray[Any]], value: Any
) -> None:
    array = np.array(value, object if "b'" in repr(value) else np.float64)
    moved = layout(array)
    assert (moved.dtype, moved.shape, moved.tolist()) == (array.dtype, array.shape, array.tolist())


def test_each_file_of_a_folder_is_damaged_in_each_way_and_the_largest_must_not_be_incomplete(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "variables").mkdir(parents=True)
    (source / "graph.pb").write_bytes(b"graph")
    (source / "variables" / "data").write_bytes(b"longer than the graph")
    (source / "empty").touch()
    copies = list(damaged_copies(source, tmp_path / "copies"))
    assert len(copies) == 2 * 5 + 4
    assert [copy.what for copy in copies if copy.incomplete] == [
        "model/variables/data cut in half",
        "model/variables/data emptied",
        "model/variables/data removed",
        "model/variables/data cut to an eighth",
        "model/variables/data cut to a quarter",
    ]
    cut = next(copy.path for copy in copies if copy.what == "model/graph.pb cut in half")
    assert (cut / "graph.pb").read_bytes() == b"gr"
    assert (cut / "variables" / "data").read_bytes() == b"longer than the graph"


def test_a_model_that_is_not_beside_the_artifact_is_named() -> None:
    with pytest.raises(LoadFailed, match="it calls the model 'embed', and there is none of that name beside it"):
        context_of({}, Runtimes()).models["embed"]
