"""What a folder looks like that holds a pipeline."""

import re
from pathlib import Path

from mlbuffet.hookspecs import first_bytes

FILE = "pipeline.toml"
_READ = 2**16
_OTHER_STEPS = re.compile(rb"^[ \t]*\[+[ \t]*(step|Steps?|stages?|nodes?)\b", re.MULTILINE)


def is_pipeline(path: Path) -> bool:
    """Whether ``path`` is a folder with the file of a pipeline."""
    return path.is_dir() and b"steps" in first_bytes(path / FILE, _READ)


def unservable(path: Path) -> str | None:
    """Why ``path``, which is a pipeline's, cannot be served."""
    if path.name == FILE and b"steps" in first_bytes(path, _READ):
        return f"{FILE} is served with the folder that it lies in: name that folder"
    if not path.is_dir() or not (path / FILE).is_file() or is_pipeline(path):
        return None
    if found := _OTHER_STEPS.search(first_bytes(path / FILE, _READ)):
        return f"its {FILE} has [{found[1].decode()}...] and no [steps.NAME], which is how a step is written"
    return f"its {FILE} has no steps; write [steps.NAME] for each model that it calls, and [outputs]"
