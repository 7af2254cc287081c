"""The import of TensorFlow, and why it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import importing


@contextmanager
def importing_tensorflow() -> Iterator[None]:
    """Around what imports TensorFlow. Raises `LoadFailed` where it cannot be imported."""
    try:
        with importing("tensorflow", "tensorflow>=2.18"):
            yield
    except OSError as error:
        raise LoadFailed(
            "importing TensorFlow takes a folder for temporary files; name one that can be written in TMPDIR",
            detail=str(error),
        ) from error
