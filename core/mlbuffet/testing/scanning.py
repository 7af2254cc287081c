"""What ``risks`` says of the artifact, read without running anything of it."""

from pathlib import Path
from typing import get_args

import pytest

from mlbuffet.risks import Capability, Risk
from mlbuffet.runtimes import Runtime
from mlbuffet.testing import child
from mlbuffet.testing.samples import Artifact, damaged_copies, foreign
from mlbuffet.testing.subject import Subject


class Scanning(Subject):
    """The rules of ``risks``, for plugins that have it."""

    @pytest.fixture
    def scanning(self, runtime: Runtime) -> Runtime:
        """The runtime, if it has the hook."""
        if not hasattr(runtime.plugin, "risks"):
            pytest.skip("the plugin has no hook `risks`")
        return runtime

    def test_risks_are_those_of_the_artifact(self, scanning: Runtime, artifact: Artifact) -> None:
        """``risks`` names no risk of a plain artifact: servers refuse uploads for each that it names.

        What it returns are `Risk`, or nothing. Where all artifacts of a runtime run code, its ``capabilities`` say so.
        """
        options = scanning.combined_options(artifact.options, {})
        found = list(scanning.hook("risks")(path=artifact.path, options=options) or ())
        wrong = [one for one in found if not isinstance(one, Risk) or one.capability not in get_args(Capability)]
        assert not wrong, f"`risks` returned {wrong}; return Risk(capability, text) from mlbuffet.hookspecs"
        assert {one.capability for one in found} == self.capabilities, (
            f"`risks` names {[one.text for one in found]}, and the tests have `capabilities` {set(self.capabilities)}; "
            "name what the file does besides computing that the options do not allow, and nothing else"
        )

    @pytest.mark.usefixtures("scanning")
    def test_risks_run_nothing(self, plugin: object, artifact: Artifact, tmp_path: Path) -> None:
        """``risks`` runs no code of the artifact, unpickles nothing, starts no process, and opens no connection.

        It neither crashes nor hangs for damaged copies of the artifact and for foreign files, for which it may raise.
        What it says names no path.
        """
        copies = [(copy.what, copy.path) for copy in damaged_copies(artifact.path, tmp_path / "damaged")]
        copies += [(path.name, path) for path in foreign(tmp_path)]
        task = {"path": artifact.path, "copies": copies, "options": dict(artifact.options)}
        facts = self.in_fresh_interpreter(child.SCAN, plugin, task, report=tmp_path / "report")
        run = sorted({text for _, event, text in facts if event == "run"})
        assert not run, f"`risks` led to {', '.join(run)}; read the file, and run, import and unpickle nothing of it"
        exposing = [text for _, event, text in facts if event != "run" and str(tmp_path) in text]
        assert not exposing, f"clients are told a path: {exposing[0]!r}; name what is in the file"
