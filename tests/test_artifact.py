"""A path is looked at before a runtime is asked, so that what is missing or locked is told as that."""

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import mlbuffet
from mlbuffet import ArtifactNotFound, ArtifactUnreadable, InvalidConfiguration, LoadFailed, Runtimes, hookimpl
from mlbuffet.model import load_artifact
from mlbuffet.repository import ModelRepository, Sources, find_models
from ordinary_user import ordinary_user
from small_runtimes import HalfPlusTwo, repository_of, write_models


def test_nothing_at_the_path(tmp_path: Path, runtimes: Runtimes) -> None:
    with pytest.raises(ArtifactNotFound, match="there is no file or folder"):
        mlbuffet.load(tmp_path / "a.half", runtimes=runtimes)


def test_a_name_that_no_file_can_have(tmp_path: Path, runtimes: Runtimes) -> None:
    with pytest.raises(ArtifactUnreadable, match="cannot be read: file name too long"):
        mlbuffet.load(tmp_path / ("a" * 300), runtimes=runtimes)


@pytest.mark.parametrize("locked", ["a", "a/b.half", "a/c"])
def test_what_may_not_be_read(locked: str, runtimes: Runtimes) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name, "a")
        (folder / "c").mkdir(parents=True)
        (folder / "b.half").write_text("half")
        Path(name, locked).chmod(0)
        with ordinary_user(), pytest.raises(ArtifactUnreadable, match=f"/{locked}' cannot be read: permission denied"):
            mlbuffet.load(folder, runtimes=runtimes)
        Path(name, locked).chmod(0o755)


@pytest.mark.parametrize(
    ("locked", "asked"),
    [
        ("m.half", "m.half"),
        ("models/m.half", "models"),
        ("models/m", "models"),
        ("models/m", "models/m"),
        ("models/m/1", "models/m"),
        ("models/m/1/x.half", "models"),
        ("models/m/1/x.half", "models/m/1"),
    ],
)
def test_what_may_not_be_read_is_told_as_that_where_models_are_served(
    locked: str, asked: str, runtimes: Runtimes
) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        write_models(Path(name), {"m.half": "half", "models/m/1/x.half": "half"})
        if locked == "models/m.half":
            shutil.rmtree(Path(name, "models/m"))
            write_models(Path(name), {locked: "half"})
        Path(name, locked).chmod(0)
        with ordinary_user():
            try:
                models = Sources([Path(name, asked)], runtimes).find()
                repository = ModelRepository(runtimes)
                repository.update(models)
                repository.load_all()
                error = repository.get(models[0].name).error
                repository.close()
            except ArtifactUnreadable as unreadable:
                error = unreadable
        Path(name, locked).chmod(0o755)
    assert isinstance(error, ArtifactUnreadable)
    assert f"/{locked}' cannot be read: permission denied" in str(error)


def test_a_served_model_that_may_not_be_read_any_more_stays(runtimes: Runtimes) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        root = write_models(Path(name), {"m/1/x.half": "half", "n/1/x.half": "half"})
        repository = repository_of(root, runtimes)
        repository.load_all()
        (root / "m").chmod(0)
        with ordinary_user():
            repository.update(Sources([root], runtimes).find())
        (root / "m").chmod(0o755)
        assert [(one.name, one.state.value) for one in repository] == [("m", "READY"), ("n", "READY")]
        repository.close()


def test_a_saved_model_whose_graph_may_not_be_read_is_told_as_that(
    installed: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        files = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
        root = write_models(Path(name), {f"m/{file}": "" for file in files} | {"m/assets/words.txt": ""})
        (root / "m/saved_model.pb").chmod(0)
        with ordinary_user():
            [model] = find_models(root, installed)
            repository = ModelRepository(installed)
            repository.update([model])
            repository.load_all()
            error = repository.get("m").error
            repository.close()
    assert isinstance(error, ArtifactUnreadable)
    assert "/m/saved_model.pb' cannot be read" in str(error)
    assert "is no version" not in caplog.text


def test_a_file_deep_in_a_folder_that_may_not_be_read_is_why_it_fails(runtimes: Runtimes) -> None:
    class Deep(HalfPlusTwo):
        @hookimpl
        def accepts(self, path: Path) -> bool:
            return path.suffix == ".deep"

        @hookimpl
        def load(self, path: Path, options: Mapping[str, Any]) -> float:
            (path / "variables/part").read_text()
            return 2.0

    runtimes.register(Deep(), name="deep")
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        part = write_models(Path(name), {"m.deep/variables/part": ""}) / "m.deep/variables/part"
        part.chmod(0)
        with ordinary_user(), pytest.raises(ArtifactUnreadable, match="/variables/part' cannot be read"):
            mlbuffet.load(Path(name, "m.deep"), runtimes=runtimes)


@pytest.mark.parametrize(
    ("name", "told"), [("x.half", "it is a named pipe"), ("m/deep/y.py", "'deep/y.py' in it is a")]
)
def test_a_pipe_is_refused_by_its_name_and_nobody_waits_for_what_it_gives(
    tmp_path: Path, runtimes: Runtimes, name: str, told: str
) -> None:
    pipe = tmp_path / name
    pipe.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(LoadFailed, match=told) as caught:
        load_artifact(tmp_path / Path(name).parts[0], runtimes, "half", {})
    assert told in caught.value.public


def test_a_socket_is_refused_too(tmp_path: Path, runtimes: Runtimes) -> None:
    (tmp_path / "m").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "m/s"))
        with pytest.raises(LoadFailed, match="'s' in it is a socket, and no file; remove it"):
            load_artifact(tmp_path / "m", runtimes, "half", {})


def test_a_configuration_that_is_a_pipe_is_refused(tmp_path: Path, runtimes: Runtimes) -> None:
    write_models(tmp_path, {"m/1/b.half": "half"})
    os.mkfifo(tmp_path / "m/model.toml")
    with pytest.raises(InvalidConfiguration, match="it is a named pipe, and no file"):
        mlbuffet.load(tmp_path / "m", runtimes=runtimes)
