"""How a file begins, by which its format is known."""

from pathlib import Path


def first_bytes(path: Path, count: int = 512) -> bytes:
    """The first bytes of the file at ``path``, at most ``count``; none where it is no file. Raises ``OSError``."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)
