"""Checks of an artifact's path, before a runtime sees it."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlbuffet.errors import ArtifactNotFound, ArtifactUnreadable, LoadFailed

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


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


def check_regular(path: Path) -> None:
    """Raises `LoadFailed` for a pipe, a socket or a device at ``path``, or however deep in it: reads may never end."""
    for parent, _, names in os.walk(path) if path.is_dir() else [(path.parent, (), (path.name,))]:
        for file in (Path(parent, name) for name in names):
            if kind := special_kind(file):
                what = "it" if file == path else f"{file.relative_to(path).as_posix()!r} in it"
                raise LoadFailed(f"{what} is {kind}, and no file; remove it, or save the model again", path=path)


def special_kind(path: Path) -> str | None:
    """What is at ``path`` that is no file, no folder, and not nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "a device")


def own_name(path: Path) -> str:
    """The name of the file or folder at ``path``, which may be written as ``.`` or ``..``."""
    if path == Path():
        shown = Path(os.environ.get("PWD", ""))  # as the shell shows it, which may have come there through a link
        with suppress(OSError):
            if shown.is_absolute() and shown.samefile("."):
                return shown.name
    return path.resolve().name if path.name in ("", "..") else path.name


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
