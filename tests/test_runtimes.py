"""Runtimes are found, registered and chosen; strangers' packages cannot harm the others."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest

import mlbuffet
from mlbuffet import (
    AmbiguousRuntime,
    DuplicateRuntime,
    IncompleteRuntime,
    InvalidHook,
    LoadFailed,
    NoRuntime,
    Runtimes,
    UnknownRuntime,
    hookimpl,
)
from mlbuffet.runtimes import installed_runtimes

PLUGIN = """
    from mlbuffet import Signature, Signatures, hookimpl

    class Plugin:
        '''Files of mine.

        And more about them.
        '''
        @hookimpl
        def accepts(self, path): return path.suffix == ".mine"
        @hookimpl
        def load(self, path, options): return object()
        @hookimpl
        def signature(self, model): return Signatures({"serving_default": Signature([], [])})
        @hookimpl
        def predict(self, model, signature, inputs): return {}
"""


class Site:
    """A folder on ``sys.path`` into which distributions are installed, beside the plugins that are there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, target: str = "Plugin") -> None:
        module = f"{name}_{uuid4().hex}"  # Python imports a module of one name once
        (self.folder / f"{module}.py").write_text(dedent(source))
        info = self.folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mlbuffet-{name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[mlbuffet]\n{name} = {module}{':' if target else ''}{target}\n")


class Mine:
    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".half"

    @hookimpl
    def load(self) -> object:
        return "handle"

    @hookimpl
    def signature(self) -> object:
        return mlbuffet.Signatures({"serving_default": mlbuffet.Signature([], [])})

    @hookimpl
    def predict(self, model: Any) -> object:
        return {} if model == "handle" else None


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(tmp_path)
    return Site(tmp_path)


def test_an_installed_plugin_is_found_with_its_distribution(site: Site) -> None:
    site.install("found", PLUGIN)
    runtimes = Runtimes()
    runtimes.discover()
    runtime = runtimes["found"]
    assert (runtime.name, runtime.distribution, runtime.version) == ("found", "mlbuffet-found", "1.2")
    assert (runtime.description, runtime.platform, str(runtime)) == ("Files of mine.", "found", "found")
    assert repr(runtime) == "<Runtime 'found' of mlbuffet-found>"
    assert "found" not in runtimes.broken


def test_a_module_can_be_a_plugin(site: Site) -> None:
    methods = dedent(PLUGIN).partition("    @hookimpl")
    functions = dedent("    @hookimpl" + methods[2]).replace("self, ", "")
    site.install("module", "from mlbuffet import Signature, Signatures, hookimpl\n" + functions, target="")
    runtimes = Runtimes()
    runtimes.discover()
    assert runtimes["module"].accepts(Path("a.mine"))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_framework", "No module named 'no_such_framework'"),
        ("Plugin = 1 / 0", "division by zero"),
        ("raise SystemExit", "exits when it is imported"),
        ("class Other: pass", "has no attribute 'Plugin'"),
        (PLUGIN.replace("def predict", "def predikt"), "there is no hook 'predikt'; the hooks are accepts, load"),
        (
            PLUGIN.replace("model, signature, inputs", "model, tensors"),
            "its hook 'predict' has the argument 'tensors'; the arguments are model, signature, inputs",
        ),
        (
            PLUGIN.replace("model, signature, inputs", "model, signature, inputs, request=None"),
            "its hook 'predict' has a default for its argument 'request', which is never given then; take it without",
        ),
        (PLUGIN.replace("def predict", "async def predict"), "its hook 'predict' is a coroutine function"),
        (PLUGIN.replace("@hookimpl\n        def predict", "def predict"), "does not implement predict"),
        (
            PLUGIN.replace("class Plugin:", "class Plugin:\n        options = {'a': 1}"),
            "its attribute 'options' cannot be read: Type '{'a': 1}' is not supported; make it a msgspec.Struct or a",
        ),
        (
            PLUGIN.replace("class Plugin:", "class Plugin:\n        options = int"),
            "<class 'int'> has no fields; make it a",
        ),
        ("class Plugin: pass", "does not implement accepts, load, signature, predict"),
        ("class Plugin:\n    def __init__(self): raise OSError('no device')", "no device"),
    ],
)
def test_a_broken_plugin_is_noted_and_the_others_are_unharmed(site: Site, source: str, reason: str) -> None:
    site.install("bad", source)
    site.install("good", PLUGIN)
    runtimes = Runtimes()
    runtimes.discover()
    assert "bad" not in runtimes
    assert reason in str(runtimes.broken["bad"])
    assert runtimes.select(Path("a.mine")).name == "good"


def test_of_two_plugins_with_one_name_the_second_is_broken(site: Site) -> None:
    site.install("twice", PLUGIN)
    runtimes = Runtimes()
    mine = Mine()
    runtimes.register(mine, name="twice")
    runtimes.discover()
    assert isinstance(runtimes.broken["twice"], DuplicateRuntime)
    assert runtimes["twice"].plugin is mine


def test_discovering_again_finds_only_what_is_new(site: Site) -> None:
    site.install("first", PLUGIN)
    runtimes = Runtimes()
    runtimes.discover()
    site.install("second", PLUGIN)
    runtimes.discover()
    assert {"first", "second"} <= {runtime.name for runtime in runtimes}
    assert "first" not in runtimes.broken


def test_installed_runtimes_come_sorted_by_name(site: Site) -> None:
    for name in ("zeta", "alpha"):
        site.install(name, PLUGIN)
    runtimes = Runtimes()
    runtimes.discover()
    names = [runtime.name for runtime in runtimes]
    assert names == sorted(names)
    assert {"zeta", "alpha"} <= set(names)


def test_one_yes_decides(runtimes: Runtimes, half: Path) -> None:
    assert runtimes.select(half).name == "half"
    assert repr(runtimes["half"]) == "<Runtime 'half' of this program>"
    assert "half" in runtimes
    assert len(runtimes) == 3


def test_no_yes_names_those_asked(runtimes: Runtimes, tmp_path: Path) -> None:
    with pytest.raises(NoRuntime, match="asked: echo, half"):
        runtimes.select(tmp_path)


def test_two_runtimes_that_accept_one_file_are_refused(runtimes: Runtimes, half: Path) -> None:
    runtimes.register(Mine(), name="mine")
    with pytest.raises(AmbiguousRuntime, match="half, mine"):
        runtimes.select(half)


def test_a_name_wins_and_accepts_is_not_asked(runtimes: Runtimes, tmp_path: Path) -> None:
    assert runtimes.select(tmp_path / "whatever.bin", "half").name == "half"


def test_an_unknown_name_lists_those_there_are(runtimes: Runtimes, half: Path) -> None:
    with pytest.raises(UnknownRuntime, match="there is no runtime 'nope'; installed: echo, half"):
        runtimes.select(half, "nope")


def test_an_exception_in_accepts_counts_as_no_and_is_logged(
    runtimes: Runtimes, half: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Raises(Mine):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            raise ArithmeticError("disk on fire")

    runtimes.register(Raises, name="raises")
    with caplog.at_level(logging.WARNING):
        assert runtimes.select(half).name == "half"
    assert "'raises' failed in accepts for" in caplog.text
    assert "disk on fire" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_plugin_may_leave_it_to_the_core_that_a_file_cannot_be_read(
    runtimes: Runtimes, half: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Reads(Mine):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return (path / "below").read_bytes() == b""

        @hookimpl
        def explain(self, path: Path) -> str | None:
            return (path / "below").read_text()

    runtimes.register(Reads, name="reads")
    with caplog.at_level(logging.INFO):
        assert not runtimes["reads"].accepts(half)
        assert runtimes["reads"].explain(half) is None
        assert runtimes.select(half).name == "half"
    assert caplog.text == ""


class Explains(Mine):
    @hookimpl
    def explain(self, path: Path) -> str | None:
        return "it holds weights alone; save the model" if path.suffix == ".weights" else None


@pytest.mark.parametrize("failure", [LoadFailed("it is no model"), ValueError("no model")])
def test_a_runtime_that_is_named_explains_why_it_cannot_load(
    runtimes: Runtimes, tmp_path: Path, failure: Exception
) -> None:
    class Fails(Explains):
        @hookimpl
        def load(self) -> object:
            raise failure

    runtimes.register(Fails, name="fails")
    for name, reason in {"m.weights": "it holds weights alone; save the model", "m.half": "no model"}.items():
        (tmp_path / name).touch()
        with pytest.raises(LoadFailed, match=reason) as error:
            mlbuffet.load(tmp_path / name, runtime="fails", runtimes=runtimes)
        assert error.value.runtime == "fails"


def test_a_runtime_explains_what_it_knows_and_cannot_serve(runtimes: Runtimes, tmp_path: Path) -> None:
    runtimes.register(Explains, name="explains")
    (tmp_path / "m.weights").touch()
    with pytest.raises(LoadFailed, match="by the runtime 'explains': it holds weights alone; save the model"):
        mlbuffet.load(tmp_path / "m.weights", runtimes=runtimes)
    (tmp_path / "m.other").touch()
    with pytest.raises(NoRuntime, match="asked: echo, explains, half, sleep"):
        mlbuffet.load(tmp_path / "m.other", runtimes=runtimes)


def test_a_runtime_that_accepts_wins_over_one_that_explains(runtimes: Runtimes, tmp_path: Path) -> None:
    class Accepts(Mine):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".weights"

    runtimes.register(Explains, name="explains")
    runtimes.register(Accepts, name="accepts")
    assert runtimes.select(tmp_path / "m.weights").name == "accepts"


@pytest.mark.parametrize("answer", ["1 / 0", "42", "''"])
def test_an_explanation_that_is_none_counts_for_nothing(answer: str, runtimes: Runtimes, tmp_path: Path) -> None:
    class Confused(Mine):
        @hookimpl
        def explain(self, path: Path) -> Any:
            return eval(answer)

    runtimes.register(Confused, name="confused")
    with pytest.raises(NoRuntime):
        runtimes.select(tmp_path)


def test_hooks_may_leave_out_arguments_they_do_not_need(half: Path) -> None:
    runtimes = Runtimes()
    runtimes.register(Mine(), name="mine")
    assert mlbuffet.load(half, runtimes=runtimes).predict({}) == {}


@pytest.mark.parametrize("hook", ["accepts", "load", "signature", "predict"])
def test_a_runtime_without_one_of_the_four_hooks_is_refused_and_forgotten(hook: str, half: Path) -> None:
    incomplete = type("Incomplete", (Mine,), {hook: None})
    runtimes = Runtimes()
    with pytest.raises(IncompleteRuntime, match=f"does not implement {hook}"):
        runtimes.register(incomplete, name="mine")
    assert len(runtimes) == 0
    runtimes.register(Mine, name="mine")
    assert runtimes.select(half).name == "mine"


def test_a_misspelt_hook_is_an_error(half: Path) -> None:
    class Misspelt(Mine):
        @hookimpl
        def unlaod(self, model: Any) -> None: ...

    runtimes = Runtimes()
    with pytest.raises(InvalidHook, match="there is no hook 'unlaod'"):
        runtimes.register(Misspelt(), name="misspelt")
    assert "misspelt" not in runtimes


def test_a_name_is_registered_once(runtimes: Runtimes) -> None:
    with pytest.raises(DuplicateRuntime, match="'half' is registered already"):
        runtimes.register(Mine(), name="half")


def test_a_lone_runtime_is_called_without_pluggy_between(runtimes: Runtimes) -> None:
    plugin = runtimes["half"].plugin
    assert runtimes["half"].hook("predict") == plugin.predict  # type: ignore[attr-defined]  # a plugin is an object


def test_a_plugin_that_only_wraps_predict_is_honoured_and_is_no_runtime(runtimes: Runtimes, half: Path) -> None:
    seen: list[str] = []

    class Audit:
        @hookimpl(wrapper=True)
        def predict(self, signature: str) -> Iterator[None]:
            result = yield
            seen.append(signature)
            return result

    runtimes.register(Audit(), name="audit")
    model = mlbuffet.load(half, runtimes=runtimes)
    assert model.predict({"x": [2]})["y"].tolist() == [3]
    assert seen == ["serving_default"]
    assert "audit" not in runtimes


def test_rivals_are_not_asked_to_predict(runtimes: Runtimes, half: Path) -> None:
    runtimes.register(Mine(), name="mine")
    model = mlbuffet.load(half, runtime="half", runtimes=runtimes)
    assert model.predict({"x": [2]})["y"].tolist() == [3]


def test_installed_runtimes_are_looked_for_once_and_again_when_distributions_come_and_go(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "a.mine").touch()
    before = installed_runtimes()
    assert installed_runtimes() is before
    site.install("later", PLUGIN)
    after = installed_runtimes()
    assert "later" in after
    assert "later" not in before
    assert mlbuffet.load(tmp_path / "a.mine").runtime is after["later"]
    shutil.rmtree(next(tmp_path.glob("later_*.dist-info")))
    assert "later" not in installed_runtimes()


def test_a_broken_plugin_is_looked_for_again(site: Site, tmp_path: Path) -> None:
    site.install("mended", "Plugin = 1 / 0")
    assert "mended" in installed_runtimes().broken
    next(tmp_path.glob("mended_*.py")).write_text(dedent(PLUGIN))
    assert "mended" in installed_runtimes()


def test_a_load_that_is_given_runtimes_looks_for_no_others(tmp_path: Path) -> None:
    (tmp_path / "a.half").touch()
    with pytest.raises(mlbuffet.NoRuntime, match="asked: none"):
        mlbuffet.load(tmp_path / "a.half", runtimes=Runtimes())
