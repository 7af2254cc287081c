"""What must hold of an artifact's path before a runtime is asked about it."""

import os
from pathlib import Path

from mlbuffet.errors import ArtifactNotFound, ArtifactUnreadable


def check_artifact(path: Path) -> None:
    """Raises `ArtifactNotFound`, or `ArtifactUnreadable` for a file, or a folder or a file in it, without permission.

    A runtime takes what it cannot read for what is not its own, and the reason would be lost.
    """
    try:
        if path.is_dir():
            for child in path.iterdir():
                _check_readable(child)
        else:
            path.stat()
            _check_readable(path)
    except FileNotFoundError:
        raise ArtifactNotFound(path) from None
    except OSError as error:
        raise ArtifactUnreadable(Path(error.filename or path), (error.strerror or str(error)).lower()) from error


def _check_readable(path: Path) -> None:
    if path.is_dir():
        os.scandir(path).close()
    elif path.is_file():
        path.open("rb").close()
