"""Shared libraries that bring operators, and from where they may come."""

import os
from collections.abc import Sequence
from pathlib import Path

from mlbuffet.errors import InvalidOptions, LoadFailed
from mlbuffet_onnx._options import VALID_OPTIONS

ALLOWED = "MLBUFFET_ONNX_LIBRARIES"
"""The environment variable with the files and folders of libraries that a model.toml may name besides."""


def find_libraries(names: Sequence[str], folder: Path, *, confined: bool) -> list[Path]:
    """The libraries ``names``, which are paths from ``folder``; each is a program that runs when it is loaded.

    With ``confined`` they must lie in ``folder``, in a folder within it, or where `ALLOWED` says, once links and ``..``
    are resolved. Raises `InvalidOptions` or `LoadFailed`, neither with a path that a client would see.
    """
    for number, name in enumerate(names):
        if not name.strip() or "\0" in name:
            raise InvalidOptions(f"custom_op_libraries[{number}] is {name!r}, which is no path", VALID_OPTIONS)
    places = [place.resolve() for place in (folder, *_allowed())]
    files = [(folder / name).resolve() for name in names]
    for number, file in enumerate(files):
        _check(f"custom_op_libraries[{number}]", file, places if confined else None)
    return files


def _check(name: str, file: Path, places: Sequence[Path] | None) -> None:
    if places is not None and not any(file.is_relative_to(place) for place in places):
        raise InvalidOptions(
            f"{name} lies outside of the model's folder; put the library into it, or let the person who starts the "
            f"server name the library or its folder in the environment variable {ALLOWED}",
            VALID_OPTIONS,
        )
    if not file.is_file():
        raise LoadFailed(f"{name} is no file; it is a path from the model's folder", detail=f"'{file}'")


def _allowed() -> list[Path]:
    return [Path(place) for place in os.environ.get(ALLOWED, "").split(os.pathsep) if place]
