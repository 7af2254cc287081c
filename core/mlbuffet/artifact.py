"""What must hold of an artifact's path before a runtime is asked about it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlbuffet.errors import ArtifactNotFound, ArtifactUnreadable


def check_path(path: Path) -> None:
    """Raises `ArtifactNotFound`, or `ArtifactUnreadable` for a path that cannot be looked at."""
    with _told(path):
        path.stat()


def check_artifact(path: Path) -> None:
    """Raises `ArtifactNotFound`, or `ArtifactUnreadable` for a file, or a folder or a file in it, without permission.

    A runtime takes what it cannot read for what is not its own, and the reason would be lost.
    """
    check_path(path)
    with _told(path):
        for each in path.iterdir() if path.is_dir() else [path]:
            if each.is_dir():
                os.scandir(each).close()
            elif each.is_file():
                each.open("rb").close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactNotFound(path) from None
    except OSError as error:
        raise ArtifactUnreadable(Path(error.filename or path), (error.strerror or str(error)).lower()) from error
