"""What a folder looks like that holds a model in Python."""

from pathlib import Path

FILE = "model.py"
_READ = 2**16


def is_model(path: Path) -> bool:
    """Whether ``path`` is a folder with a model.py that imports this package, as any of ours does."""
    return path.is_dir() and _is_ours(path / FILE)


def unservable(path: Path) -> str | None:
    """Why ``path``, which is a model's, cannot be served."""
    if path.name == FILE and _is_ours(path):
        return "model.py is served with the folder that it lies in: name that folder"
    return None


def _is_ours(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return b"mlbuffet_python" in content.read(_READ)
