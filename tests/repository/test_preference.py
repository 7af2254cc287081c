"""Where several runtimes accept a model that is served, the preference decides, and hides no other model."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlbuffet import AmbiguousRuntime, DuplicateModel, Runtimes, hookimpl
from mlbuffet.repository import Catalog, ModelRepository, Provenance, Publisher, Sources, State
from mlbuffet.repository.layout import find_models
from mlbuffet.runtime_choice import Preference, Wanted
from small_runtimes import Both, write_models


@pytest.fixture
def several(runtimes: Runtimes) -> Runtimes:
    runtimes.register(Both, name="both")
    return runtimes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with models of several runtimes, flat and in folders."""
    files = {
        "flat.half": "half",
        "nap.sleep": "",
        "deep/1/x.half": "half",
        "deeper/1/model.sleep": "",
        "said/1/x.half": "half",
        "said/model.toml": "runtime = ['nope', 'both']",
        "told/1/x.half": "half",
        "told/model.toml": "runtime = 'half'",
        "two/1/a.half": "half",
        "two/1/b.sleep": "",
    }
    return write_models(tmp_path / "models", files)


def chosen(root: Path, runtimes: Runtimes, wanted: Wanted) -> dict[str, str]:
    """The runtime of each model at ``root``, or the kind of its error."""
    repository = ModelRepository(runtimes, wanted)
    repository.update(Sources([root], runtimes, wanted).find())
    repository.load_all()
    found = {
        one.name: one.model.runtime.name if one.state is State.READY else type(one.error).__name__ for one in repository
    }
    repository.close()
    return found


@pytest.mark.parametrize(
    ("wanted", "runtime", "of_two"),
    [
        (None, "AmbiguousRuntime", "NotOneArtifact"),
        ("half", "half", "half"),
        ("both", "both", "both"),
        ("sleep", "AmbiguousRuntime", "sleep"),
        (["both", "half"], "both", "both"),
        (["sleep", "half"], "half", "sleep"),
        (Preference(("echo", "half")), "half", "half"),
    ],
)
def test_a_folder_with_models_of_several_runtimes_is_served_whole(
    several: Runtimes, root: Path, wanted: Wanted, runtime: str, of_two: str
) -> None:
    assert chosen(root, several, wanted) == {
        "deep": runtime,
        "deeper": "sleep",
        "flat": runtime,
        "nap": "sleep",
        "said": "both",
        "told": "half",
        "two": of_two,
    }


TWINS = {
    "flat files": ["wine.half", "wine.sleep", "wine.echo"],
    "a file and a folder": ["wine.half", "wine/x.sleep"],
    "a file and a folder of versions": ["wine.half", "wine/1/x.sleep"],
    "two folders of one number": ["wine/1/x.half", "wine/01/x.sleep"],
}


@pytest.mark.parametrize("files", TWINS.values(), ids=TWINS)
@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (None, "DuplicateModel"),
        ("half", "half"),
        ("sleep", "sleep"),
        (["sleep", "half"], "sleep"),
        (["nope", "half", "sleep"], "half"),
        (["nope"], "DuplicateModel"),
    ],
)
def test_of_artifacts_that_are_one_version_that_is_served_whose_runtime_goes_first(
    runtimes: Runtimes,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    files: list[str],
    wanted: Wanted,
    taken: str,
) -> None:
    root = write_models(tmp_path / "models", {**dict.fromkeys(files, "half"), "other.half": "half"})
    assert chosen(root, runtimes, wanted) == {"other": "half", "wine": taken}
    ignored = [text for text in caplog.messages if text.startswith("ignored")]
    left_out = [] if taken == "DuplicateModel" else sorted(file for file in files if not file.endswith(taken))
    assert len(ignored) == len(left_out)
    for file, text in zip(left_out, ignored, strict=True):
        assert f"'{root / file}" in text
        assert "is version 1 of the model 'wine', and its runtime goes first" in text


def test_of_two_artifacts_of_one_runtime_none_goes_first(runtimes: Runtimes, tmp_path: Path) -> None:
    root = write_models(tmp_path / "models", {"wine.half": "half", "wine/x.half": "half"})
    assert chosen(root, runtimes, "half") == {"wine": "DuplicateModel"}


def test_the_configuration_of_what_is_left_out_does_not_count(runtimes: Runtimes, tmp_path: Path) -> None:
    files = {"wine.half": "half", "wine/1/x.sleep": "", "wine/2/x.sleep": "", "wine/model.toml": "description = 'old'"}
    root = write_models(tmp_path / "models", files)
    [model] = find_models(root, runtimes, ["half", "sleep"])
    assert [one.path.name for one in model.versions] == ["wine.half", "x.sleep"]
    assert model.configuration.description == "old"  # of version 2
    shutil.rmtree(root / "wine" / "2")
    [model] = find_models(root, runtimes, ["half", "sleep"])
    assert ([one.path.name for one in model.versions], model.configuration.description) == (["wine.half"], "")


def test_a_configuration_decides_between_the_files_that_it_lies_beside(runtimes: Runtimes, tmp_path: Path) -> None:
    files = {"wine.half": "half", "wine.sleep": "", "wine.toml": "runtime = 'sleep'"}
    root = write_models(tmp_path / "models", files)
    assert chosen(root, runtimes, None) == chosen(root, runtimes, "half") == {"wine": "sleep"}


def test_artifacts_in_several_places_are_decided_like_those_in_one(runtimes: Runtimes, tmp_path: Path) -> None:
    one, other = (write_models(tmp_path / kind, {f"wine.{kind}": "half"}) for kind in ("half", "sleep"))
    with pytest.raises(DuplicateModel):
        Sources([one, other], runtimes).find()
    [model] = Sources([one, other], runtimes, "sleep").find()
    assert (model.error, [stored.path.name for stored in model.versions]) == (None, ["wine.sleep"])


class OfFolders(Both):
    """Accepts a .half file, a folder with one, as ONNX Runtime does with its files, and a folder that is its own."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".half" or len(list(path.glob("*.half"))) == 1 or (path / "own.txt").exists()

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        return 2.0


@pytest.mark.parametrize(
    ("wanted", "of_file"),
    [
        (None, "folders"),
        ("half", "half"),
        (["half", "folders"], "half"),
        (["folders", "half"], "folders"),
        (["sleep", "half"], "half"),
    ],
)
def test_a_folder_that_is_accepted_for_a_file_in_it_is_decided_like_the_file(
    runtimes: Runtimes, tmp_path: Path, wanted: Wanted, of_file: str
) -> None:
    runtimes.register(OfFolders, name="folders")
    files = {"file/1/x.half": "half", "file/1/notes.txt": "", "own/1/own.txt": "", "own/1/x.sleep": ""}
    root = write_models(tmp_path / "models", files)
    assert chosen(root, runtimes, wanted) == {"file": of_file, "own": "folders"}


def test_a_runtime_that_is_installed_later_leaves_preferred_models_as_they_are(
    runtimes: Runtimes, tmp_path: Path
) -> None:
    root = write_models(tmp_path / "models", {"flat.half": "half"})
    assert chosen(root, runtimes, None) == chosen(root, runtimes, ["half"]) == {"flat": "half"}
    runtimes.register(Both, name="both")
    assert chosen(root, runtimes, None) == {"flat": "AmbiguousRuntime"}
    assert chosen(root, runtimes, ["half"]) == {"flat": "half"}


def test_a_file_that_nobody_accepts_is_for_the_runtime_that_is_named(several: Runtimes, tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_text("half")
    assert chosen(tmp_path / "m.bin", several, "half") == {"m": "half"}
    assert chosen(tmp_path / "m.bin", several, ["half"]) == {"m": "NoRuntime"}
    (tmp_path / "n.sleep").touch()
    assert chosen(tmp_path / "n.sleep", several, "half") == {"n": "sleep"}


@pytest.fixture
def publishers(several: Runtimes, tmp_path: Path) -> Iterator[dict[str, tuple[Publisher, ModelRepository]]]:
    """What changes a folder for which nothing is preferred, and one with a preference."""
    made = {}
    for name, wanted in {"none": None, "both": Preference(("both", "half"))}.items():
        root = tmp_path / name
        root.mkdir()
        sources = Sources([root], several, wanted)
        repository = ModelRepository(several, wanted)
        repository.load_all()
        made[name] = Publisher(root, Catalog(sources, [], repository.update), repository), repository
    yield made
    for publisher, repository in made.values():
        repository.close()
        publisher.close()


def test_an_upload_is_validated_and_served_by_the_preferred_runtime(
    publishers: dict[str, tuple[Publisher, ModelRepository]],
) -> None:
    def push(publisher: Publisher) -> int:
        upload = publisher.receive("m", 10_000)
        try:
            upload.write(b"half")
            return publisher.publish("m", upload, Provenance(file="x.half", time=""))
        finally:
            upload.discard()

    with pytest.raises(AmbiguousRuntime):
        push(publishers["none"][0])
    publisher, repository = publishers["both"]
    assert push(publisher) == 1
    assert repository.get("m").model.runtime.name == "both"
