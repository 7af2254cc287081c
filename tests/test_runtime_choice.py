"""Where several runtimes accept a model, what is said of them decides; and all that is known of the choice is told."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import mlbuffet
from mlbuffet import (
    AmbiguousRuntime,
    ArtifactNotFound,
    LoadFailed,
    NoRuntime,
    NotOneArtifact,
    Runtimes,
    UnknownRuntime,
    hookimpl,
)
from mlbuffet.runtime_choice import Preference, Wanted
from small_runtimes import Both, HalfPlusTwo, write_models


class Raises(HalfPlusTwo):
    @hookimpl
    def accepts(self, path: Path) -> bool:
        raise ValueError("disk on fire")


@pytest.fixture
def several(runtimes: Runtimes) -> Runtimes:
    """Two runtimes for each file."""
    runtimes.register(Both, name="both")
    return runtimes


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("half", "half"),
        ("echo", "echo"),  # which is not asked
        (["half", "both"], "half"),
        (["both", "half"], "both"),
        (("not-installed", "echo", "half"), "half"),
        (Preference(("both",)), "both"),
        (Preference(("echo", "half")), "half"),
    ],
)
def test_the_first_of_those_named_that_accepts_is_taken(
    several: Runtimes, half: Path, wanted: Wanted, chosen: str
) -> None:
    assert several.select(half, wanted).name == chosen


def test_several_without_a_word_are_refused_with_all_ways_to_say_it(several: Runtimes, half: Path) -> None:
    for wanted in (None, Preference(("echo",)), Preference(("not-installed",), last_resort="echo")):
        with pytest.raises(AmbiguousRuntime) as caught:
            several.select(half, wanted)
        assert caught.value.accepting == ("both", "half")
        for way in (
            "accept '{}': both, half. ",
            "runtime='both' in Python, --runtime both on the command line, runtime='both' in model.toml",
            "runtime=['both', 'half'] in Python, --prefer both,half on the command line, "
            "runtime = ['both', 'half'] in model.toml",
        ):
            assert way.format(half) in str(caught.value)


def test_no_names_are_the_same_as_nothing(runtimes: Runtimes, half: Path) -> None:
    assert runtimes.select(half, []).name == "half"


def test_a_preference_leaves_other_models_to_others(several: Runtimes, tmp_path: Path) -> None:
    assert several.select(tmp_path / "a.sleep", Preference(("both", "half"))).name == "sleep"
    with pytest.raises(NoRuntime, match="no installed runtime accepts"):
        several.select(tmp_path / "a.bin", Preference(("both", "half")))
    assert several.select(tmp_path / "a.bin", Preference(("both",), last_resort="half")).name == "half"
    with pytest.raises(UnknownRuntime):
        several.select(tmp_path / "a.bin", Preference(("nope",), last_resort="nope"))


def test_names_leave_nothing_to_others(several: Runtimes, tmp_path: Path) -> None:
    with pytest.raises(NoRuntime) as caught:
        several.select(tmp_path / "a.sleep", ["both", "half", "gpu"])
    assert "none of the runtimes both, half, gpu accepts" in str(caught.value)
    assert "sleep would, and may not be taken (asked: both, half; not installed: gpu)" in str(caught.value)
    assert str(tmp_path) not in caught.value.public
    with pytest.raises(UnknownRuntime, match="there is no runtime 'gpu'; installed: both, echo, half, sleep"):
        several.select(tmp_path / "a.sleep", ["gpu", "tpu"])
    with pytest.raises(LoadFailed, match="'both': it holds weights alone"):
        several.select(tmp_path / "a.weights", ["half", "both"])


def test_a_folder_that_several_accept_a_file_in_is_decided_alike(several: Runtimes, tmp_path: Path) -> None:
    write_models(tmp_path, {"m/1/x.half": "half", "m/1/y.echo": "float32"})
    with pytest.raises(NotOneArtifact):
        mlbuffet.load(tmp_path / "m", runtimes=several)
    for wanted, name in ((["echo", "half"], "y.echo"), (["half", "echo"], "x.half")):
        with mlbuffet.load(tmp_path / "m", runtime=wanted, runtimes=several) as model:
            assert model.path.name == name
    with pytest.raises(NotOneArtifact):  # which accepts both files
        mlbuffet.load(tmp_path / "m", runtime=["both"], runtimes=several)


@pytest.mark.parametrize(
    ("toml", "wanted", "chosen", "default"),
    [
        ("['both', 'half']", None, "both", "both"),
        ("['half', 'both']", None, "half", "both"),
        ("['half', 'both']", "both", "both", "both"),
        ("['half', 'both']", ["both", "half"], "both", "both"),
        ("'half'", ["both", "half"], "both", "serving_default"),  # what it says is meant for the other
        ("'half'", ["half", "both"], "half", "both"),
        ("'half'", Preference(("both",)), "half", "both"),
    ],
)
def test_a_caller_goes_before_a_model_toml_and_that_before_a_preference(
    several: Runtimes, tmp_path: Path, toml: str, wanted: Wanted, chosen: str, default: str
) -> None:
    write_models(tmp_path, {"1/x.half": "half", "model.toml": f"runtime = {toml}\nsignature = 'both'"})
    with mlbuffet.loading.load_from(tmp_path, several, wanted) as model:
        assert (model.runtime.name, model.signatures.default) == (chosen, default)


def test_a_caller_whose_runtime_cannot_be_had_is_told_whatever_model_toml_says(
    several: Runtimes, tmp_path: Path
) -> None:
    write_models(tmp_path, {"1/x.half": "half", "model.toml": "runtime = 'half'"})
    for wanted in ("gpu", ["gpu"], ["sleep"]):
        with pytest.raises(NoRuntime):
            mlbuffet.load(tmp_path, runtime=wanted, runtimes=several)


def test_which_says_who_accepts_and_why_others_do_not(several: Runtimes, half: Path) -> None:
    several.register(Raises, name="raises")
    several.broken["torn"] = ImportError("No module named 'torch'")
    found = mlbuffet.which(half, runtimes=several)
    assert (found.path, found.chosen, found.accepting) == (half, None, ("both", "half"))
    assert isinstance(found.error, AmbiguousRuntime)
    assert list(found.refusing.items()) == [
        ("echo", ""),
        ("raises", "it failed: ValueError: disk on fire"),
        ("sleep", ""),
        ("torn", "it is broken: ImportError: No module named 'torch'"),
    ]
    found = mlbuffet.which(half, runtimes=several, runtime=["gpu", "both"])
    assert (found.chosen, found.accepting, found.error) == ("both", ("both", "half"), None)
    assert found.refusing["gpu"] == "it is not installed"
    assert mlbuffet.which(half, runtimes=several, runtime="echo").chosen == "echo"
    assert isinstance(mlbuffet.which(half, runtimes=several, runtime="gpu").error, UnknownRuntime)


def test_which_gives_the_explanation_of_a_runtime_and_looks_into_a_models_folder(
    several: Runtimes, tmp_path: Path
) -> None:
    write_models(tmp_path, {"m/1/x.half": "", "m/2/x.half": "", "m/model.toml": "runtime = ['both']", "w.weights": ""})
    found = mlbuffet.which(tmp_path / "m", runtimes=several)
    assert (found.path, found.chosen) == (tmp_path / "m/2/x.half", "both")
    found = mlbuffet.which(tmp_path / "w.weights", runtimes=several)
    assert (found.chosen, found.refusing["both"]) == (None, "it holds weights alone")
    assert isinstance(found.error, LoadFailed)
    with pytest.raises(ArtifactNotFound):
        mlbuffet.which(tmp_path / "nothing", runtimes=several)


def test_an_error_says_what_a_runtime_raised_when_it_was_asked(runtimes: Runtimes, tmp_path: Path) -> None:
    runtimes.register(Raises, name="raises")
    with pytest.raises(
        NoRuntime, match=r"asked: echo, half, raises, sleep; failed: raises \(ValueError: disk on fire\)"
    ):
        runtimes.select(tmp_path / "a.bin")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_is_neither_pickled_nor_copied(
    runtimes: Runtimes, half: Path, duplicate: Callable[[object], object]
) -> None:
    with mlbuffet.load(half, runtimes=runtimes) as model:
        with pytest.raises(TypeError, match=r"cannot be pickled or copied.*load it there, as in mlbuffet\.load"):
            duplicate(model)
        assert model.predict({"x": [2]})["y"].tolist() == [3]
