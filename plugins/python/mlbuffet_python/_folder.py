"""What a folder looks like that holds a model in Python."""

from pathlib import Path

from mlbuffet.hookspecs import first_bytes

FILE = "model.py"
_READ = 2**16
_BESIDE = {"", ".csv", ".json", ".md", ".npy", ".npz", ".py", ".toml", ".txt"}
"""The kinds of files beside a model.py, where it is the model and not the code of one in another format."""


def is_model(path: Path) -> bool:
    """Whether ``path`` is a folder with a model.py that imports this package, as any of ours does."""
    return path.is_dir() and _is_ours(path / FILE)


def unservable(path: Path) -> str | None:
    """Why ``path``, which is a model's, cannot be served."""
    if path.name == FILE and _is_ours(path):
        return "model.py is served with the folder that it lies in: name that folder"
    if path.is_dir() and (path / FILE).is_file() and not _is_ours(path / FILE) and _is_code(path):
        return (
            "its model.py does not import mlbuffet_python, as a model in Python does: import signature and the types "
            "of the inputs from it, and mark the methods that clients call with @signature"
        )
    return None


def _is_code(folder: Path) -> bool:
    visible = [child for child in folder.iterdir() if not child.name.startswith((".", "_"))]
    return all(child.is_file() and child.suffix in _BESIDE for child in visible)


def _is_ours(file: Path) -> bool:
    return b"mlbuffet_python" in first_bytes(file, _READ)
