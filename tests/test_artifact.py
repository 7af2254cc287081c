"""A path is looked at before a runtime is asked, so that what is missing or locked is told as that."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import mlbuffet
from mlbuffet import ArtifactNotFound, ArtifactUnreadable, Runtimes


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything, and so stands back."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


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
