"""What a file or folder looks like from outside, so that a change is seen without reading it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from mlbuffet.repository.configuration import FILE_NAME


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Two are equal where nothing was written in between."""

    entries: frozenset[tuple[str, int, int, int]]
    """Each file: its path, size, and when its content and its inode changed, in nanoseconds."""
    renamed: bool = field(compare=False)
    """Whether it was renamed into place, with all that is in it: then it is whole."""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(size for _, size, _, _ in self.entries)


def fingerprint(place: Path, model_folder: Path | None = None) -> Fingerprint:
    """The fingerprint of a file, or of a folder without ``model.toml`` and names that begin with a dot.

    What was renamed into place may be ``place``, or ``model_folder`` around it.
    """
    top = place.stat()
    entries = frozenset(_entries(place)) if place.is_dir() else frozenset([_entry("", top)])
    newest = max((changed for *_, changed in entries), default=0)
    tops = [top] if model_folder is None else [top, model_folder.stat()]
    # renaming changes the inode alone; what is written changes both times at once
    renamed = any(one.st_ctime_ns > one.st_mtime_ns and newest <= one.st_ctime_ns for one in tops)
    return Fingerprint(entries, renamed)


def _entries(folder: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if name.startswith(".") or path == folder / FILE_NAME:
                continue
            found.append(_entry(str(path.relative_to(folder)), path.stat()))
    return found


def _entry(name: str, status: os.stat_result) -> tuple[str, int, int, int]:
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns
