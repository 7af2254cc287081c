"""What a file or folder looks like from outside, so that a change is seen without reading it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlbuffet.artifact import is_folder
from mlbuffet.repository.configuration import FILE_NAME

_File = tuple[str, os.stat_result, str]
"""Its path below the folder, its status, and where it lies if a link leads to it, else nothing."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Two are equal where nothing was written in between, and every link leads where it did."""

    entries: frozenset[tuple[str, int, int, int]]
    """Each file: its path, size, and when its content and its inode changed, in nanoseconds."""
    targets: frozenset[tuple[str, str]]
    """Where the place itself lies, and each file that is reached by a link in it."""
    renamed: bool = field(compare=False)
    """Whether it was renamed into place, with all that is in it: then it is whole."""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(size for _, size, _, _ in self.entries)


def fingerprint(place: Path, model_folder: Path | None = None) -> Fingerprint:
    """The fingerprint of a file, or of a folder without ``model.toml`` and names that begin with a dot.

    Links are followed, but for broken ones and those that lead back to a folder around them. What was renamed into
    place may be ``place``, or ``model_folder`` around it.
    """
    real = os.path.realpath(place)
    top = place.stat()
    files = list(_below(place, "", (real,))) if place.is_dir() else [("", top, "")]
    entries = frozenset((name, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for name, one, _ in files)
    targets = frozenset((name, target) for name, _, target in files if target) | {("", real)}
    newest = max((changed for *_, changed in entries), default=0)
    tops = [top, place.lstat()] + ([model_folder.stat(), model_folder.lstat()] if model_folder else [])
    # renaming changes the inode alone, a link's own too; writing changes both times together
    renamed = any(one.st_ctime_ns > one.st_mtime_ns and newest <= one.st_ctime_ns for one in tops)
    return Fingerprint(entries, targets, renamed)


def _below(folder: Path, name: str, above: tuple[str, ...], *, linked: bool = False) -> Iterator[_File]:
    """The files in a folder with the path ``name`` below the place; ``above`` are it and those around it."""
    try:
        children = list(folder.iterdir())
    except PermissionError:  # loading fails with the reason
        yield name or ".", folder.stat(), ""
        return
    for child in children:
        below = f"{name}/{child.name}".lstrip("/")
        if child.name.startswith(".") or below == FILE_NAME:
            continue
        by_link = linked or child.is_symlink()
        real = os.path.realpath(child) if by_link else f"{above[-1]}/{child.name}"
        if is_folder(child):
            if real not in above:
                yield from _below(child, below, (*above, real), linked=by_link)
        elif (status := _status(child)) is not None:
            yield below, status, real if by_link else ""


def _status(path: Path) -> os.stat_result | None:
    """That of a file, or of a link to one that may not be looked at; ``None`` for a broken link."""
    try:
        return path.stat()
    except PermissionError:
        return path.lstat()
    except OSError:
        return None
