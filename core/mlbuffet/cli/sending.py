"""The upload of a model: a file, or a folder as a zip of its files, with a progress bar."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mlbuffet.artifact import check_artifact, check_files
from mlbuffet.errors import StorageFailed


@contextmanager
def packed(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The file to send and its name; hidden files in a folder are left out.

    Raises `ArtifactUnreadable`, or `StorageFailed` where a folder cannot be packed.
    """
    check_artifact(path)
    if not path.is_dir():
        with path.open("rb") as file:
            yield file, path.name
        return
    check_files(path)
    with _temporary_file() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for each in sorted(path.rglob("*")):
                name = each.relative_to(path)
                if each.is_file() and not any(part.startswith(".") for part in name.parts):
                    archive.write(each, name)
        yield file, f"{path.resolve().name}.zip"


def _temporary_file() -> BinaryIO:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise StorageFailed("there is no folder for temporary files to pack it in; name one in TMPDIR") from error


@contextmanager
def with_progress(file: BinaryIO, title: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file with its size; on a terminal a bar shows how much was read."""
    size = file.seek(0, 2)
    file.seek(0)
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        Progress(
            TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
        progress.wrap_file(file, size, description=title) as content,
    ):
        yield content, size
