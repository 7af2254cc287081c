"""Whatever the file system refuses, a change happens as a whole or not at all."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mlbuffet.errors import InvalidConfiguration, LoadFailed, NotChangeable, StorageFailed, StorageFull
from mlbuffet.repository import Provenance, Publisher, State
from mlbuffet.repository.disk import Disk
from mlbuffet.repository.staging import FOLDER_NAME, Staging
from mlbuffet.version_numbers import LARGEST
from uploading import leftovers, repository_of, some_runtimes, visible, zipped


class FailingDisk(Disk):
    """Counts its operations, and fails at one of them, and at all after it where it is to be ``broken``."""

    def __init__(self) -> None:
        self.fail_at = 0
        self.broken = False
        self.error = errno.ENOSPC
        self.done = 0

    def make_folder(self, path: Path) -> None:
        self._count()
        super().make_folder(path)

    def create(self, path: Path) -> BinaryIO:
        self._count()
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        half = len(data) // 2
        super().write(file, data[:half])
        self._count()
        super().write(file, data[half:])

    def sync(self, path: Path) -> None:
        self._count()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._count()
        super().unlink(path)

    def _count(self) -> None:
        self.done += 1
        if self.fail_at and (self.done == self.fail_at or (self.broken and self.done > self.fail_at)):
            raise OSError(self.error, os.strerror(self.error))


class Shelf:
    """A folder of models with what changes it, without HTTP."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.catalog, self.repository = repository_of(root, some_runtimes())
        self.repository.load_all()
        self.publisher = Publisher(root, self.catalog, self.repository, disk=disk)

    def push(self, name: str, content: bytes = b"half", file: str = "x.half") -> int:
        upload = self.publisher.receive(name, 10_000)
        try:
            upload.write(content)
            return self.publisher.publish(name, upload, Provenance(file=file, time=""))
        finally:
            upload.discard()

    def state(self) -> tuple[list[str], list[tuple[str, int]], dict[str, int]]:
        """What is visible, what is served and what is the default."""
        served = [(version.name, version.version) for version in self.repository if version.state is State.READY]
        names = sorted({name for name, _ in served})
        return visible(self.root), served, {name: self.repository.get(name).version for name in names}

    def close(self) -> None:
        self.repository.close()
        self.publisher.close()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return prepare(tmp_path / "models")


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Callable[..., Shelf]]:
    """A function that makes one of the folder ``models``."""
    made: list[Shelf] = []

    def make(disk: Disk | None = None) -> Shelf:
        made.append(Shelf(tmp_path / "models", disk))
        return made[-1]

    yield make
    for one in made:
        one.close()


CHANGES: dict[str, Callable[[Shelf], Any]] = {
    "upload": lambda shelf: shelf.push("iris"),
    "upload of a zip": lambda shelf: shelf.push("iris", zipped({"model.half": b"half", "a/b": b"text"}), "x.zip"),
    "upload of a new model": lambda shelf: shelf.push("new"),
    "upload after a choice": lambda shelf: shelf.push("chosen"),
    "default": lambda shelf: shelf.publisher.choose("iris", 1),
    "another default": lambda shelf: shelf.publisher.choose("chosen", 2),
    "removal": lambda shelf: shelf.publisher.remove("iris", 1),
    "removal of the default": lambda shelf: shelf.publisher.remove("chosen"),
    "removal of a file": lambda shelf: shelf.publisher.remove("single"),
}


def prepare(root: Path) -> Path:
    """Two versions of ``iris``, three of ``chosen`` of which the first is the default, and ``single``."""
    versions = ["iris/1", "iris/2", "chosen/1", "chosen/2", "chosen/3"]
    for path in (*(f"{version}/x.half" for version in versions), "single.half"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("half")
    (root / "chosen/.default").write_text("1\n")
    return root


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_storing_fails_at_any_step_did_not_happen(
    tmp_path_factory: pytest.TempPathFactory, change: str
) -> None:
    step, failed = 0, True
    while failed:
        step += 1
        disk = FailingDisk()
        root = prepare(tmp_path_factory.mktemp("shelf") / "models")
        shelf = Shelf(root, disk)
        before = shelf.state()
        disk.fail_at, disk.error = step, errno.EIO if step % 2 else errno.ENOSPC
        try:
            CHANGES[change](shelf)
            failed = disk.done >= step
        except StorageFailed as error:
            assert type(error) is (StorageFailed if step % 2 else StorageFull)
            assert shelf.state() == before
        after = shelf.state()
        shelf.close()
        again = Shelf(root)
        assert again.state() == after
        assert leftovers(root) == []
        again.close()
    assert step > 2


class WatchedDisk(Disk):
    """Keeps a copy of a folder as it was before each operation, as a process that is killed there would leave it."""

    def __init__(self, root: Path, copies: Path) -> None:
        self.root = root
        self.copies = copies
        self.log: list[tuple[str, Path]] = []

    def make_folder(self, path: Path) -> None:
        self._note("make_folder", path)
        super().make_folder(path)

    def create(self, path: Path) -> BinaryIO:
        self._note("create", path)
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        self._note("write", Path(file.name))
        super().write(file, data)

    def sync(self, path: Path) -> None:
        self._note("sync", path)
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", target)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._note("unlink", path)
        super().unlink(path)

    def _note(self, operation: str, path: Path) -> None:
        with suppress(shutil.Error):  # what was removed is swept meanwhile
            shutil.copytree(self.root, self.copies / str(len(self.log)), symlinks=True)
        self.log.append((operation, path))


@pytest.mark.parametrize("change", CHANGES)
def test_a_process_that_is_killed_before_any_step_leaves_what_was_or_what_was_to_be(
    tmp_path: Path, models: Path, change: str
) -> None:
    disk = WatchedDisk(models, tmp_path / "copies")
    shelf = Shelf(models, disk)
    before = shelf.state()
    CHANGES[change](shelf)
    after = shelf.state()
    shelf.close()
    assert before != after
    for step, (operation, _) in enumerate(disk.log):
        again = Shelf(disk.copies / str(step))
        files, served, defaults = again.state()
        assert (files, served) in (before[:2], after[:2]), (step, operation)
        assert defaults in (before[2], after[2]), (step, operation)  # the default is the last to change
        assert leftovers(again.root) == []
        again.close()


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_renamed_into_place_was_synced_and_so_is_the_folder_around_it(
    tmp_path: Path, models: Path, change: str
) -> None:
    disk = WatchedDisk(models, tmp_path / "copies")
    shelf = Shelf(models, disk)
    CHANGES[change](shelf)
    shelf.close()
    synced: set[Path] = set()
    for step, (operation, path) in enumerate(disk.log):
        visible_now = FOLDER_NAME not in path.relative_to(models).parts
        match operation:
            case "sync":
                synced.add(path)
            case "write":
                synced.discard(path)
            case "rename" | "make_folder" | "unlink" if visible_now:
                assert ("sync", path.parent) in disk.log[step:], (operation, path)
        if operation == "rename" and path.name.isdigit():
            made = {made for operation, made in disk.log[:step] if operation != "write" and "content" in made.parts}
            assert made
            assert made <= synced
        if operation == "rename" and path.name == ".default":
            assert disk.log[step - 1][0] == "sync"


@pytest.mark.parametrize("change", ["upload after a choice", "another default", "removal of the default"])
def test_on_a_disk_that_fails_for_good_a_version_is_whole_or_absent(
    tmp_path_factory: pytest.TempPathFactory, change: str
) -> None:
    for step in range(1, 40):
        disk = FailingDisk()
        root = prepare(tmp_path_factory.mktemp("shelf") / "models")
        shelf = Shelf(root, disk)
        before = set(visible(root))
        disk.fail_at, disk.broken = step, True
        try:
            CHANGES[change](shelf)
        except StorageFull:
            failed = True
        else:
            failed = disk.done >= step
        shelf.close()
        again = Shelf(root)
        assert {version.state for version in again.repository} == {State.READY}
        changed = before ^ set(visible(root))
        assert len({Path(path).parent for path in changed if "/a/" not in path}) <= 1
        assert leftovers(root) == []
        again.close()
        if not failed:
            return
    pytest.fail("it never ended")


def test_what_processes_left_behind_is_swept_but_not_what_lives(tmp_path: Path) -> None:
    root = tmp_path / "models"
    (root / FOLDER_NAME / "dead" / "upload").mkdir(parents=True)
    (root / FOLDER_NAME / "stray").write_text("")
    living = Staging(root)
    mine = living.new()
    mine.mkdir()
    other = Staging(root)
    assert mine.exists()
    assert sorted(path.name for path in (root / FOLDER_NAME).iterdir()) == [mine.parent.name]
    other.close()
    assert mine.exists()
    living.close()
    assert list(root.iterdir()) == []


def test_a_staging_that_is_swept_as_it_is_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Path] = []
    flock = fcntl.flock

    def sweep_first(descriptor: int, operation: int) -> None:
        if not taken:
            (folder,) = (tmp_path / FOLDER_NAME).iterdir()
            taken.append(folder)
            folder.rmdir()
        flock(descriptor, operation)

    staging = Staging(tmp_path)
    monkeypatch.setattr(fcntl, "flock", sweep_first)
    assert staging.new().parent not in taken
    assert staging.new().parent.is_dir()
    staging.close()


def test_a_number_that_another_process_took_meanwhile_is_left_to_it(shelf: Callable[..., Shelf]) -> None:
    class Rival(Disk):
        def rename(self, source: Path, target: Path) -> None:
            if target.name == "1":
                target.mkdir()
                (target / "x.half").write_text("half")
            super().rename(source, target)

    one = shelf(Rival())
    assert one.push("iris") == 2
    assert visible(one.root) == ["iris/1/x.half", "iris/2/model.half"]


def test_a_folder_that_another_process_makes_or_removes_meanwhile_is_made_again(shelf: Callable[..., Shelf]) -> None:
    class Rival(Disk):
        renames = 0

        def make_folder(self, path: Path) -> None:
            if path.name == "iris" and not self.renames:
                path.mkdir()
            super().make_folder(path)

        def rename(self, source: Path, target: Path) -> None:
            if target.name == "1" and not self.renames:
                self.renames += 1
                target.parent.rmdir()
            super().rename(source, target)

    one = shelf(Rival())
    assert one.push("iris") == 1
    assert visible(one.root) == ["iris/1/model.half"]


def test_a_folder_of_models_that_is_gone_is_told(shelf: Callable[..., Shelf]) -> None:
    one = shelf()
    upload = one.publisher.receive("iris", 100)
    shutil.rmtree(one.root)
    upload.write(b"half")
    with pytest.raises(StorageFailed):
        one.publisher.publish("iris", upload, Provenance(file="x.half", time=""))
    upload.discard()


@pytest.mark.parametrize("text", ["", "0", "-1", "one", "1 2", "1" * 30, "9"])
def test_a_choice_that_leads_nowhere_counts_for_nothing(models: Path, shelf: Callable[..., Shelf], text: str) -> None:
    (models / "iris/.default").write_text(text)
    assert shelf().repository.get("iris").version == 2


def test_a_chosen_version_that_fails_is_not_replaced_by_another(models: Path, shelf: Callable[..., Shelf]) -> None:
    (models / "chosen/1/x.half").write_text("corrupt")
    one = shelf()
    assert one.repository.get("chosen").version == 1
    assert one.repository.get("chosen").state is State.FAILED
    assert one.push("chosen") == 4
    assert one.repository.get("chosen").version == 4


def test_a_version_that_cannot_be_loaded_cannot_be_chosen(models: Path, shelf: Callable[..., Shelf]) -> None:
    (models / "iris/3").mkdir()
    (models / "iris/3/x.half").write_text("corrupt")
    one = shelf()
    before = one.state()
    with pytest.raises(LoadFailed):
        one.publisher.choose("iris", 3)
    assert one.state() == before
    assert not (models / "iris/.default").exists()


def test_a_model_with_a_wrong_model_toml_takes_no_uploads(models: Path, shelf: Callable[..., Shelf]) -> None:
    (models / "iris/model.toml").write_text("versons = 1")
    with pytest.raises(InvalidConfiguration, match="versons"):
        shelf().push("iris")


@pytest.mark.parametrize("target", ["iris", "other"])
def test_what_lies_elsewhere_is_not_changed(
    tmp_path: Path, models: Path, shelf: Callable[..., Shelf], target: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for version in (1, 2):
        (elsewhere / f"{target}/{version}").mkdir(parents=True)
        (elsewhere / f"{target}/{version}/x.half").write_text("half")
    shutil.rmtree(models / "iris")
    (models / "iris").symlink_to(elsewhere / target)
    one = shelf()
    changes: list[Callable[[], object]] = [
        lambda: one.push("iris"),
        lambda: one.publisher.choose("iris", 1),
        lambda: one.publisher.remove("iris"),
    ]
    for change in changes:
        with pytest.raises(NotChangeable, match="outside the folder"):
            change()
    assert visible(elsewhere) == [f"{target}/1/x.half", f"{target}/2/x.half"]


def test_what_was_written_in_part_is_written_on(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    data = os.urandom(2**17)  # a pipe takes 2**16 at once
    received = b""
    with os.fdopen(writing, "wb", buffering=0) as file:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2**18)
        Disk().write(file, data)
        received = os.read(reading, 2**18)
    os.close(reading)
    assert received == data


def test_a_version_that_is_a_link_is_removed_without_what_it_leads_to(
    tmp_path: Path, models: Path, shelf: Callable[..., Shelf]
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/x.half").write_text("half")
    (models / "iris/3").symlink_to(tmp_path / "kept")
    one = shelf()
    assert one.publisher.remove("iris") == 3
    assert not (models / "iris/3").is_symlink()
    assert (tmp_path / "kept/x.half").exists()


def test_a_folder_of_models_may_be_a_link(tmp_path: Path, models: Path, shelf: Callable[..., Shelf]) -> None:
    models.rename(tmp_path / "real")
    models.symlink_to("real")
    one = shelf()
    assert (one.push("iris"), one.push("new")) == (3, 1)
    one.publisher.choose("iris", 1)
    assert one.publisher.remove("iris") == 1
    assert (tmp_path / "real/iris/3/model.half").exists()
    assert (tmp_path / "real/new/1/model.half").exists()


def test_version_0_is_chosen_and_removed_and_no_number_follows_the_largest(
    models: Path, shelf: Callable[..., Shelf]
) -> None:
    (models / "iris/1").rename(models / "iris/0")
    (models / "chosen/3").rename(models / f"chosen/{LARGEST}")
    one = shelf()
    one.publisher.choose("iris", 0)
    assert one.repository.get("iris").version == 0
    assert one.publisher.remove("iris") == 0
    assert one.repository.get("iris").version == 2
    with pytest.raises(NotChangeable, match="has the largest number that a version can have"):
        one.push("chosen")
    assert sorted(path.name for path in (models / "chosen").iterdir()) == [".default", "1", "2", str(LARGEST)]
