"""NAME=PATH is one model under that name, whatever PATH is called and however it lies there."""

from pathlib import Path

import pytest

from mlbuffet import InvalidPlace, NoModels, Runtimes
from mlbuffet.repository import ModelRepository, NamedPlace, RemoteFolder, Sources, StoredModel, split_name
from small_runtimes import write_models


def find(path: Path, runtimes: Runtimes, name: str = "iris", **options: bool) -> list[StoredModel]:
    return Sources([NamedPlace(name, path)], runtimes).find(**options)


@pytest.mark.parametrize(
    ("files", "path", "versions"),
    [
        (["wine.half"], "wine.half", {1: "wine.half"}),
        (["mnt/a b.half"], "mnt/a b.half", {1: "mnt/a b.half"}),
        (["mnt/models/1/model.half", "mnt/models/3/x.half"], "mnt/models", {1: "1/model.half", 3: "3/x.half"}),
        (["mnt/models/model.half"], "mnt/models", {1: "model.half"}),
        (["mnt/models/wine.half"], "mnt/models", {1: "wine.half"}),
        (["mnt/models/wine/1/x.half", "mnt/models/readme.txt"], "mnt/models", {1: "1/x.half"}),
        (["mnt/models/wine/x.half", "mnt/models/notes/a.txt"], "mnt/models", {1: "wine/x.half"}),
        (["mnt/no name/2/model.half"], "mnt/no name", {2: "2/model.half"}),
        (["mnt/f.echo/data"], "mnt/f.echo", {1: "f.echo"}),
    ],
)
def test_the_model_has_the_name_and_all_its_versions(
    tmp_path: Path, runtimes: Runtimes, files: list[str], path: str, versions: dict[int, str]
) -> None:
    write_models(tmp_path, dict.fromkeys(files, "half"))
    (model,) = find(tmp_path / path, runtimes)
    assert model.name == "iris"
    assert {one.version: one.name for one in model.versions} == dict.fromkeys(versions, "iris")
    assert all(str(one.path).endswith(versions[one.version]) for one in model.versions)


@pytest.mark.parametrize("folder", ["mnt/models", "mnt/models/wine"])
def test_its_model_toml_counts_and_confines_what_it_names_to_its_folder(
    tmp_path: Path, runtimes: Runtimes, folder: str
) -> None:
    write_models(tmp_path, {f"{folder}/model.half": "half", f"{folder}/model.toml": 'description = "Kinds"'})
    (model,) = find(tmp_path / "mnt/models", runtimes)
    assert model.configuration.description == "Kinds"
    assert model.versions[0].folder == tmp_path / folder


def test_the_folder_of_a_version_is_that_of_its_model(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"mnt/models/1/model.half": "half"})
    (model,) = find(tmp_path / "mnt/models", runtimes)
    assert model.versions[0].folder == tmp_path / "mnt/models"


def test_a_folder_of_several_models_has_no_one_name(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, dict.fromkeys(["wine.half", "digits/1/x.half", "notes/readme.txt"], "half"))
    with pytest.raises(InvalidPlace, match=r"it holds several models: digits, wine; serve '.*' without a name"):
        find(tmp_path, runtimes)


def test_a_folder_without_a_model_is_none(tmp_path: Path, runtimes: Runtimes) -> None:
    with pytest.raises(NoModels):
        find(tmp_path, runtimes)
    assert find(tmp_path, runtimes, may_be_empty=True) == []


def test_a_runtime_that_is_named_takes_a_folder_for_its_artifact(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"mnt/models/what": "half"})
    (model,) = Sources([NamedPlace("iris", tmp_path / "mnt/models")], runtimes, "half").find()
    assert [(one.name, one.path) for one in model.versions] == [("iris", tmp_path / "mnt/models")]


def test_one_name_for_two_places_is_refused(tmp_path: Path, runtimes: Runtimes) -> None:
    places = [NamedPlace("iris", tmp_path / "a"), NamedPlace("iris", tmp_path / "b"), NamedPlace("wine", tmp_path)]
    with pytest.raises(InvalidPlace, match="2 places are called 'iris'; versions of one model lie in one folder"):
        Sources(places, runtimes)


def test_names_and_folders_of_models_are_served_together(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, dict.fromkeys(["models/a.half", "mnt/1/model.half"], "half"))
    sources = Sources([NamedPlace("iris", tmp_path / "mnt"), tmp_path / "models"], runtimes)
    assert [model.name for model in sources.find()] == ["a", "iris"]
    assert sources.writable == tmp_path / "models"


def test_models_are_added_to_no_place_with_a_name(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"wine.half": "half"})
    assert Sources([NamedPlace("iris", tmp_path)], runtimes).writable is None


def test_it_answers_under_its_name(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"mnt/models/wine.half": "half", "mnt/models/wine.toml": "[labels]\nbest = 1"})
    repository = ModelRepository(runtimes)
    repository.update(find(tmp_path / "mnt/models", runtimes))
    repository.load_all()
    try:
        (version,) = repository
        assert (version.name, version.state.value) == ("iris", "READY")
    finally:
        repository.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iris=/mnt/models", ("iris", "/mnt/models")),
        ("iris=models", ("iris", "models")),
        ("iris=s3://bucket/a=b", ("iris", "s3://bucket/a=b")),
        ("iris=a=b", ("iris", "a=b")),
        ("models", (None, "models")),
        ("./a=b.onnx", (None, "./a=b.onnx")),
        ("/data/day=1", (None, "/data/day=1")),
        ("https://host/path?x=1", (None, "https://host/path?x=1")),
    ],
)
def test_a_name_ends_at_the_first_equals_sign_before_any_slash(text: str, expected: tuple[str | None, str]) -> None:
    assert split_name(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a b=/mnt", "'a b' cannot be a model's name"),
        ("=/mnt", "'' cannot be a model's name"),
        ("-x=/mnt", "a path that holds '=' is written './-x=/mnt'"),
        (f"{'a' * 129}=x", "128 characters at most"),
        ("iris=", "write NAME=PATH, such as iris=/mnt/models"),
    ],
)
def test_what_is_no_name_is_told(text: str, reason: str) -> None:
    with pytest.raises(InvalidPlace) as raised:
        split_name(text)
    assert reason in str(raised.value)


def test_a_url_may_have_a_name(tmp_path: Path, runtimes: Runtimes) -> None:
    remote = write_models(tmp_path / "remote", {"1/model.half": "half"})
    place = RemoteFolder(remote.as_uri(), tmp_path / "cache")
    (model,) = Sources([NamedPlace("iris", place)], runtimes).find()
    assert [(one.name, one.version) for one in model.versions] == [("iris", 1)]
