"""Shared libraries that bring operators, and from where they may come."""

import os
from collections.abc import Sequence
from pathlib import Path

from mlbuffet.errors import InvalidOptions, LoadFailed

ALLOWED = "MLBUFFET_ONNX_LIBRARIES"
"""The environment variable with the files and folders of libraries that a model.toml may name besides."""


def find_libraries(names: Sequence[str], folder: Path, options_folder: Path | None) -> list[Path]:
    """The libraries ``names``, each of which is a program that runs when it is loaded.

    They are paths from ``options_folder``, else from ``folder``, that of the artifact. With ``options_folder`` they
    must lie in or below one of the two, or where `ALLOWED` says, once links and ``..`` are resolved. Raises
    `InvalidOptions` or `LoadFailed`, neither with a path that a client would see.
    """
    for number, name in enumerate(names):
        if not name.strip() or "\0" in name:
            raise InvalidOptions(f"custom_op_libraries[{number}] is {name!r}, which is no path")
    bases = [folder] if options_folder is None else [options_folder, folder]
    places = None if options_folder is None else [place.resolve() for place in (*bases, *_allowed())]
    files = [_first_file([(base / name).resolve() for base in bases]) for name in names]
    for number, file in enumerate(files):
        _check(f"custom_op_libraries[{number}]", file, places)
    return files


def _first_file(candidates: Sequence[Path]) -> Path:
    return next((file for file in candidates if file.is_file()), candidates[0])


def _check(name: str, file: Path, places: Sequence[Path] | None) -> None:
    if places is not None and not any(file.is_relative_to(place) for place in places):
        raise InvalidOptions(
            f"{name} lies outside of the model's folder, in which its model.toml lies; put the library into it, or let "
            f"the person who starts the server name the library or its folder in the environment variable {ALLOWED}",
        )
    if not file.is_file():
        problem = f"{name} is no file; it is a path from the folder of the model.toml, or of the artifact"
        raise LoadFailed(problem, detail=f"'{file}'")


def _allowed() -> list[Path]:
    return [Path(place) for place in os.environ.get(ALLOWED, "").split(os.pathsep) if place]
