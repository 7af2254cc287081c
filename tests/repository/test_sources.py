"""What is odd about the paths that are to be served is a warning, said once."""

from pathlib import Path

import pytest

from mlbuffet import DuplicateModel, Runtimes
from mlbuffet.repository import Sources
from mlbuffet.repository.remote import RemoteFolder
from small_runtimes import write_models


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Those of this test, for a repository of another may still retry a load."""
    return [one.message for one in caplog.records if one.name == "mlbuffet.repository.sources"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/iris/00000123", "00000123"),
        ("models/iris/00000123/", "00000123"),
        ("models/iris/7", "7"),
        ("models/iris/7/model.half", "model"),
        ("models/alone/1", "1"),
        ("models/named/9", "x"),
    ],
)
def test_a_path_to_a_version_names_the_folder_to_serve_instead(
    tmp_path: Path,
    runtimes: Runtimes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    name: str,
) -> None:
    files = ["iris/00000123/model.half", "iris/7/model.half", "alone/1/model.half", "named/9/x.half"]
    files = [f"models/{file}" for file in files]
    write_models(tmp_path, dict.fromkeys(files, "half"))
    monkeypatch.chdir(tmp_path)
    model = path.split("/")[1]
    for written in (Path(path), tmp_path / path):
        caplog.clear()
        sources = Sources([written], runtimes)
        assert [one.name for one in sources.find()] == [one.name for one in sources.find()] == [name]
        [said] = warnings_in(caplog)
        assert f"is served as the model '{name}', and looks like a version of the model '{model}'" in said
        assert said.endswith(f"to serve it as that, serve '{tmp_path}/models/{model}'")


@pytest.mark.parametrize("path", ["models", "models/iris", "models/wine.half", "models/2024/x.half", "models/v1"])
def test_other_paths_are_served_without_a_word(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    files = ["models/iris/1/model.half", "models/wine.half", "models/v1/model.half"]
    write_models(tmp_path, dict.fromkeys(files, "half"))
    if "2024" in path:
        write_models(tmp_path, {path: "half"})
    Sources([tmp_path / path], runtimes).find()
    assert warnings_in(caplog) == []


def test_a_version_that_is_there_twice_is_the_fault_of_its_model_alone(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, dict.fromkeys(["a/m/1/x.half", "a/m/01/x.half", "a/n/1/x.half", "b/n/1/x.half"], "half"))
    twice, fine = Sources([tmp_path / "a"], runtimes).find()
    assert isinstance(twice.error, DuplicateModel)
    assert str(tmp_path) not in twice.error.public
    assert fine.error is None
    with pytest.raises(DuplicateModel, match="version 1 of the model 'n'"):
        Sources([tmp_path / "a", tmp_path / "b"], runtimes).find()


def test_a_url_of_a_version_is_named_as_it_was_given(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    write_models(tmp_path / "models", {"iris/3/model.half": "half"})
    url = f"file://{tmp_path}/models/iris/3/"
    [model] = Sources([RemoteFolder(url, tmp_path / "cache")], runtimes).find()
    assert model.name == "3"
    assert f"serve 'file://{tmp_path}/models/iris'" in caplog.text


@pytest.mark.parametrize("name", ["v1", "1.0", "-1", "\uff11", str(2**63)])
def test_a_folder_that_is_no_version_is_named(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    write_models(tmp_path, {f"alone/{name}/x.half": "half", f"beside/{name}/x.half": "half", "beside/1/x.half": "half"})
    alone, beside = Sources([tmp_path], runtimes).find()
    assert [(one.version, one.path) for one in alone.versions] == [(1, tmp_path / f"alone/{name}/x.half")]
    assert [one.version for one in beside.versions] == [1]
    rule = "versions are folders named by whole numbers from 0 to 9223372036854775807"
    served, ignored = warnings_in(caplog)
    assert served == (
        f"'{tmp_path}/alone/{name}' is no version, and it is served as version 1 of the model 'alone'; {rule}"
    )
    assert ignored == f"ignored '{tmp_path}/beside/{name}': it is no version; {rule}"


def test_several_folders_that_are_no_versions_are_each_named(
    tmp_path: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    write_models(tmp_path, {"m/v1/x.half": "half", "m/v2/x.half": "half"})
    write_models(tmp_path, {"other.half": "half"})
    model, _ = Sources([tmp_path], runtimes).find()
    assert [one.path for one in model.versions] == [tmp_path / "m"]
    for name in ("v1", "v2"):
        assert f"ignored '{tmp_path}/m/{name}': it is no version" in caplog.text
