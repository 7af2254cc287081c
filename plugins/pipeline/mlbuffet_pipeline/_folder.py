"""What a folder looks like that holds a pipeline."""

from pathlib import Path

FILE = "pipeline.toml"
_READ = 2**16


def is_pipeline(path: Path) -> bool:
    """Whether ``path`` is a folder with the file of a pipeline."""
    file = path / FILE
    if not path.is_dir() or not file.is_file():
        return False
    with file.open("rb") as content:
        return b"steps" in content.read(_READ)
