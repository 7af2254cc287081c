"""A model is called as the entry that is served is called, also where that is a link."""

import os
from pathlib import Path

import pytest

from mlbuffet import InvalidModelName, Runtimes
from mlbuffet.repository import StoredModel, find_models
from mlbuffet.repository.catalog import StabilityCheck
from mlbuffet.repository.fingerprint import fingerprint
from mlbuffet.repository.reading import Files
from small_runtimes import write_models


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An empty folder of models beside the folder ``data`` with what links lead to."""
    data = {"iris/production/1/x.half": "half", "iris/production/2/x.half": "half", "wine/production/1/x.half": "half"}
    write_models(tmp_path / "data", {**data, "bad name/1/x.half": "half", "one.half": "half"})
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def found(path: Path, runtimes: Runtimes) -> dict[str, list[int]]:
    return {model.name: [one.version for one in model.versions] for model in find_models(path, runtimes)}


def move(link: Path, target: str | Path) -> None:
    """As git-sync and Kubernetes do it."""
    (new := link.with_name(".new")).symlink_to(target)
    new.rename(link)


def test_links_to_folders_of_one_name_are_models_of_their_own_names(models: Path, runtimes: Runtimes) -> None:
    for name, target in {
        "iris": "../data/iris/production",
        "wine": "../data/wine/production",
        "again": "../data/wine/production",
        "chain": "iris",
        "named": "../data/bad name",
        "version": "../data/iris/production/2",
        "one.half": "../data/one.half",
    }.items():
        (models / name).symlink_to(target)
    assert found(models, runtimes) == {
        "iris": [1, 2],
        "wine": [1],
        "again": [1],
        "chain": [1, 2],
        "named": [1],
        "version": [1],
        "one": [1],
    }


@pytest.mark.parametrize("written", ["{}/iris", "{}/iris/", "{}/iris/.", "{}/../models/iris"])
def test_a_path_that_is_a_link_is_named_as_it_was_written(models: Path, runtimes: Runtimes, written: str) -> None:
    (models / "iris").symlink_to("../data/iris/production")
    assert found(Path(written.format(models)), runtimes) == {"iris": [1, 2]}


def test_the_working_folder_is_named_as_the_shell_shows_it(
    models: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / "iris").symlink_to("../data/iris/production")
    monkeypatch.chdir(models / "iris")
    monkeypatch.setenv("PWD", str(models / "iris"))
    assert found(Path(), runtimes) == {"iris": [1, 2]}
    assert found(Path("../production/../production"), runtimes) == {"production": [1, 2]}
    monkeypatch.setenv("PWD", str(models))  # of another program
    assert found(Path(), runtimes) == {"production": [1, 2]}


def test_what_cannot_be_served_is_passed_over_with_a_warning(
    models: Path, runtimes: Runtimes, caplog: pytest.LogCaptureFixture
) -> None:
    (models / "good").symlink_to("../data/iris/production")
    (models / "bad name").symlink_to("../data/iris/production")
    (models / "broken").symlink_to("nowhere")
    (models / "loop").symlink_to("loop")
    (models / "self").symlink_to(".")
    (models / "a\nb").mkdir()
    (models / os.fsdecode(b"\xff.half")).symlink_to("../data/one.half")
    assert found(models, runtimes) == {"good": [1, 2]}
    ignored = [message for message in caplog.messages if message.startswith("ignored ")]
    assert len(ignored) == 6
    assert f"ignored '{models}/bad name': 'bad name' cannot be a model's name" in caplog.text
    for name in ("broken", "loop", "self"):
        assert f"ignored '{models}/{name}': it is a link that leads nowhere, or back to where it lies" in caplog.text
    assert all(message.isprintable() for message in ignored)


def test_a_bad_name_that_is_asked_for_alone_is_refused(models: Path, runtimes: Runtimes) -> None:
    (models / "bad name").symlink_to("../data/iris/production")
    with pytest.raises(InvalidModelName, match="'bad name'"):
        find_models(models / "bad name", runtimes)


def test_links_in_a_version_that_lead_nowhere_harm_nobody(models: Path, runtimes: Runtimes) -> None:
    write_models(models, {"m/1/x.half": "half", "n/1/x.half": "half"})
    (models / "m/1/gone").symlink_to("nowhere")
    (models / "m/1/loop").symlink_to(".")
    assert found(models, runtimes) == {"m": [1], "n": [1]}


@pytest.mark.parametrize("where", ["m", "m/1", "m/1/x.half", "..data"])
def test_a_link_that_moves_is_new_content_though_all_looks_alike(models: Path, runtimes: Runtimes, where: str) -> None:
    tail = {"m": "", "m/1": "/1", "m/1/x.half": "/1/x.half", "..data": ""}[where]
    for name in ("old", "new"):
        write_models(models.parent, {f"{name}/1/x.half": "half"})
    link = models / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(models.parent / f"old{tail}")
    if where == "..data":
        (models / "m").symlink_to("..data")
    for name in ("old", "new"):
        os.utime(models.parent / f"{name}/1/x.half", (0, 0))

    def look() -> list[StoredModel]:
        return find_models(models, runtimes)

    before = look()
    settling = StabilityCheck(before)
    assert settling.observe(look(), 0) is None
    move(link, models.parent / f"new{tail}")
    after = look()
    assert [model.name for model in after] == ["m"]
    assert before[0].versions[0].fingerprint != after[0].versions[0].fingerprint
    settling.observe(after, 1)
    settling.observe(after, 2.5)
    assert settling.models[0].versions == after[0].versions


def test_a_link_between_files_of_one_look_is_seen_to_move(tmp_path: Path) -> None:
    write_models(tmp_path, {"files/a.bin": "half", "files/b.bin": "half"})
    (tmp_path / "m").mkdir()
    (tmp_path / "m/x.half").symlink_to("../files/a.bin")
    before = fingerprint(tmp_path / "m")
    move(tmp_path / "m/x.half", "../files/b.bin")
    assert fingerprint(tmp_path / "m").targets != before.targets


def test_folders_behind_links_in_a_version_belong_to_it(models: Path, runtimes: Runtimes) -> None:
    write_models(models.parent, {"weights/part": "123"})
    write_models(models, {"m/1/x.half": "half"})
    (models / "m/1/weights").symlink_to(models.parent / "weights")
    (models / "m/1/weights/back").symlink_to(models / "m/1")
    [stored] = find_models(models, runtimes)[0].versions
    assert stored.fingerprint is not None
    assert stored.fingerprint.size == len("half") + len("123")
    assert Files(stored).names == ["weights/part", "x.half"]
