"""The names of models: the last part of a path, also where that is a link."""

import re
from pathlib import Path

from mlbuffet.artifact import is_file, own_name
from mlbuffet.errors import InvalidModelName

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def name_in_folder(entry: Path) -> str:
    """The name of the model that is an entry of a folder of models. Raises `InvalidModelName`."""
    return _checked(entry.stem if is_file(entry) else entry.name)


def name_of(path: Path) -> str:
    """The name of the model at a path that is served alone, as written. Raises `InvalidModelName`."""
    return _checked(own_name(path)) if path.name in ("", "..") else name_in_folder(path)


def _checked(name: str) -> str:
    if MODEL_NAME.fullmatch(name) is None:
        raise InvalidModelName(name)
    return name
