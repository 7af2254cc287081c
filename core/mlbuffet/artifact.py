"""Checks of an artifact's path, before a runtime sees it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlbuffet.errors import ArtifactNotFound, ArtifactUnreadable


def check_path(path: Path) -> None:
    """Raises `ArtifactNotFound`, or `ArtifactUnreadable` for a path without permission."""
    with readable(path):
        path.stat()


def check_artifact(path: Path) -> None:
    """Raises `ArtifactNotFound`, or `ArtifactUnreadable` for a file, or a folder or a file in it, without permission.

    A runtime does not accept what it cannot read, so the reason would be lost.
    """
    check_path(path)
    with readable(path):
        for each in path.iterdir() if path.is_dir() else [path]:
            _open(each)


def check_files(folder: Path) -> None:
    """Raises `ArtifactUnreadable` for a file or folder, however deep in ``folder``, without permission."""
    with readable(folder):
        for parent, folders, names in os.walk(folder):
            for name in (*folders, *names):
                _open(Path(parent, name))


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder, or a link to one; False without permission."""
    return os.path.isdir(path)  # noqa: PTH112 pathlib raises without permission


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file, or a link to one; False without permission."""
    return os.path.isfile(path)  # noqa: PTH113 likewise


def is_broken_link(path: Path) -> bool:
    """Whether ``path`` is a link to nothing, or to a folder that it lies in."""
    if not path.is_symlink():
        return False
    try:
        path.stat()
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
    return path.resolve() in path.parent.resolve().joinpath(path.name).parents


def visible(folder: Path) -> list[Path]:
    """The files and folders in a folder whose names begin with no dot. Raises ``OSError``."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises `ArtifactNotFound` or `ArtifactUnreadable` for an ``OSError`` at ``path`` or in it."""
    try:
        yield
    except FileNotFoundError:
        raise ArtifactNotFound(path) from None
    except OSError as error:
        raise ArtifactUnreadable(Path(error.filename or path), (error.strerror or str(error)).lower()) from error


def _open(path: Path) -> None:
    if path.is_dir():
        os.scandir(path).close()
    elif path.is_file():
        path.open("rb").close()
