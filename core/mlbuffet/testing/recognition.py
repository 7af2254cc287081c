"""What a plugin says of itself and of paths, before anything is loaded."""

import inspect
from pathlib import Path

import pytest

from mlbuffet.hookspecs import RuntimePlugin
from mlbuffet.runtimes import Runtime, address_of
from mlbuffet.testing import child
from mlbuffet.testing.samples import Artifact, foreign, lookalikes
from mlbuffet.testing.subject import Subject


class Recognition(Subject):
    """The rules of ``accepts`` and ``explain``, and of what people are shown."""

    def test_it_is_a_runtime(self, runtime: Runtime) -> None:
        """The plugin registers with every hook of a runtime, and its ``platform``, if it has one, is text."""
        assert isinstance(runtime.platform, str), f"`platform` is {runtime.platform!r}; make it a str"

    def test_it_says_what_it_accepts(self, runtime: Runtime) -> None:
        """The docstring of ``accepts`` (or of the class) starts with a line that ``mlbuffet runtimes`` can show."""
        inherited = (inspect.getdoc(RuntimePlugin.accepts) or "").partition("\n")[0]
        assert runtime.description not in ("", inherited), (
            "nothing says what the plugin accepts: give `accepts` a docstring whose first line names its artifacts"
        )

    def test_it_accepts_its_artifact(self, runtime: Runtime, artifact: Artifact) -> None:
        """``accepts`` returns True, a bool, for the artifact."""
        answer = runtime.hook("accepts")(path=artifact.path)
        assert answer is True, f"`accepts` answered {answer!r} for its own artifact; return the bool True"

    def test_it_refuses_what_is_foreign(self, runtime: Runtime, tmp_path: Path) -> None:
        """``accepts`` returns False, a bool, for files and folders that have neither its name nor its contents."""
        answers = {path.name: _answer(runtime, path) for path in foreign(tmp_path)}
        wrong = {name: answer for name, answer in answers.items() if answer is not False}
        assert not wrong, (
            f"`accepts` answered {wrong} and should answer False, else it takes the models of other runtimes: "
            "look at suffixes, at the files inside a folder and at magic bytes"
        )

    def test_it_explains_only_its_own_kind(self, runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
        """``explain``, where there is one, returns None for what is accepted or foreign."""
        answers = {path.name: runtime.explain(path) for path in (artifact.path, *foreign(tmp_path))}
        wrong = {name: answer for name, answer in answers.items() if answer is not None}
        assert not wrong, f"`explain` answered {wrong}; answer None for what is accepted and what is foreign"

    def test_accepts_never_raises(self, runtime: Runtime, artifact: Artifact, tmp_path: Path) -> None:
        """``accepts`` returns a bool for anything under the artifact's own name, and False if nothing is there.

        An ``OSError`` is a no: what cannot be opened or read is no artifact. Garbage may be accepted: a format without
        magic bytes has only the name to go by, and ``load`` will refuse it.
        """
        for kind, path in lookalikes(artifact.path.name, tmp_path).items():
            try:
                answer = _answer(runtime, path)
            except Exception as error:  # noqa: BLE001 a plugin may raise anything
                pytest.fail(f"`accepts` raised {error!r} for {kind} called '{path.name}'; answer False instead")
            assert answer is False or (answer is True and kind != "nothing"), (
                f"`accepts` answered {answer!r} for {kind} called '{path.name}'; answer with a bool, False for nothing"
            )

    def test_accepts_needs_no_framework(self, plugin: object, artifact: Artifact, tmp_path: Path) -> None:
        """A fresh interpreter imports the plugin and calls ``accepts``, and imports no third package.

        Every load and every ``mlbuffet runtimes`` calls that of all plugins, and is not to wait for a framework. Of a
        plugin that is defined in a file of tests, what that file imports does not count.
        """
        paths = [artifact.path, artifact.path.parent, tmp_path / "nothing"]
        facts = self.in_fresh_interpreter(child.ASK, plugin, {"paths": paths}, report=tmp_path / "report")
        imported = facts[-1][1:]
        heavy = set(imported) - {address_of(plugin).partition(":")[0].partition(".")[0]} - self.may_import
        assert not heavy, (
            f"importing the plugin or asking `accepts` imported {', '.join(sorted(heavy))}: import it inside `load`, "
            "or in a private module that `load` imports; if it is light, add it to `may_import`"
        )


def _answer(runtime: Runtime, path: Path) -> object:
    """What ``accepts`` returns; False for an ``OSError``, as the core has it."""
    try:
        return runtime.hook("accepts")(path=path)
    except OSError:
        return False
