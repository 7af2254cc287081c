"""What ``load`` takes and what it refuses, alone and beside other loads."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlbuffet.errors import InvalidOptions, MLBuffetError
from mlbuffet.model import Model
from mlbuffet.runtimes import Runtimes
from mlbuffet.testing import child
from mlbuffet.testing.samples import Artifact, damaged_copies
from mlbuffet.testing.subject import NAME, Subject, load, predict
from mlbuffet.testing.threads import in_threads


class Loading(Subject):
    """The rules of ``load``."""

    def test_unknown_options_are_refused(self, runtimes: Runtimes, artifact: Artifact) -> None:
        """An option that the plugin does not know is `InvalidOptions`, which names it and lists those it knows.

        The core raises it for a plugin that has ``options``. Its ``client_options`` are some of those it knows.
        """
        refusal: MLBuffetError | None = None
        options = {**artifact.options, "no_such_option": 1}
        try:
            load(runtimes, replace(artifact, options=options)).close()
        except MLBuffetError as error:
            refusal = error
        advice = "give the plugin the attribute `options`, or raise InvalidOptions(problem, valid) in `load`"
        assert isinstance(refusal, InvalidOptions), f"an unknown option led to {refusal!r}; {advice}"
        assert "no_such_option" in refusal.problem, f"'{refusal}' does not name the option; {advice}"
        valid = set(refusal.valid)
        assert "no_such_option" not in valid, f"'{refusal}' calls the unknown option valid; {advice}"
        assert set(artifact.options) <= valid, f"'{refusal}' leaves out {set(artifact.options) - valid}; {advice}"
        unknown = sorted(runtimes[NAME].client_options - valid)
        declared = f"and the valid options are {sorted(valid)}; make the attribute a set of names"
        assert not unknown, f"`client_options` has {unknown}, {declared}"

    def test_loads_may_run_side_by_side(self, loaded_model: Model, runtimes: Runtimes, artifact: Artifact) -> None:
        """Eight threads load the artifact at once, and each model gives the sample the outputs of one loaded alone.

        The core lets the loads of a plugin run one after the other, unless it says ``concurrent_loads = True``.
        """
        expected = predict(loaded_model, artifact)

        def load_and_ask(_number: int) -> None:
            with load(runtimes, artifact) as model:
                self.check(predict(model, artifact), expected, "a model that was loaded beside seven others")

        failures = in_threads(load_and_ask, self.patience)
        advice = (
            "the plugin says `concurrent_loads = True`: leave that out, and the core loads one model after the other"
            if getattr(runtimes[NAME].plugin, "concurrent_loads", False)
            else "`load` ran beside `predict` and `unload` of other models, as in a server: let them share nothing"
        )
        assert not failures, f"models cannot be loaded in several threads: {failures[0]}; {advice}"

    def test_the_files_are_not_needed_after_load(
        self, loaded_model: Model, runtimes: Runtimes, artifact: Artifact, tmp_path: Path
    ) -> None:
        """A loaded model answers when its files have been removed, as they are when a server gets new ones."""
        source, copy = artifact.path, tmp_path / "moved" / artifact.path.name
        copy.parent.mkdir()
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        try:
            model = load(runtimes, replace(artifact, path=copy))
        except MLBuffetError as error:
            pytest.skip(f"a copy of the artifact cannot be loaded elsewhere: {error}")
        with model:
            shutil.rmtree(copy.parent)
            advice = "read what `predict` needs in `load`, or keep it open"
            try:
                answer = predict(model, artifact)
            except MLBuffetError as error:
                pytest.fail(f"`predict` needs the files after `load`: {error}; {advice}")
            self.check(answer, predict(loaded_model, artifact), f"the sample, after the files were removed ({advice}),")

    def test_damage_is_an_error(self, plugin: object, artifact: Artifact, tmp_path: Path) -> None:
        """Damaged copies of the artifact neither crash nor hang the process, and what is incomplete does not load.

        Every file in turn is cut in half, emptied, removed, overwritten with noise, and inverted in its first bytes;
        the largest is cut at more lengths.
        Noise may load: in a file of bare numbers it is as good as any weights. But half of the largest file, or less of
        it, holds less than the signature needs, and ``load`` has to raise, not the first prediction.
        The message for clients (`MLBuffetError.public`) names no path.
        """
        copies = list(damaged_copies(artifact.path, tmp_path / "damaged"))
        task = {
            "copies": [(copy.what, copy.path) for copy in copies],
            "options": dict(artifact.options),
            "inputs": dict(artifact.inputs),
            "signature": artifact.signature,
            "beside": dict(artifact.beside),
        }
        facts = self.in_fresh_interpreter(child.LOAD, plugin, task, report=tmp_path / "report")
        loaded = {what for what, event, _ in facts if event == "loaded"}
        accepted = [copy.what for copy in copies if copy.incomplete and copy.what in loaded]
        assert not accepted, f"`load` took an incomplete artifact: {', '.join(accepted)}; check it and raise LoadFailed"
        exposing = [message for _, _, message in facts if str(tmp_path) in message]
        assert not exposing, f"clients are told a path: {exposing[0]!r}; leave it out of what LoadFailed is given"
