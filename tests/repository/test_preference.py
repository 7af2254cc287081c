"""Where several runtimes accept a model that is served, the preference decides, and hides no other model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlbuffet import AmbiguousRuntime, Runtimes, hookimpl
from mlbuffet.repository import Catalog, ModelRepository, Provenance, Publisher, Sources, State
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
