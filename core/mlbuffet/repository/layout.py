"""Which versions of which models a path holds.

    PATH is one artifact            iris.onnx, or a SavedModel's folder: the model is named after it
    PATH is one model               PATH/<version>/<artifact>, versions being whole numbers from 1
    PATH is a folder of models      PATH/<name>/<version>/<artifact>, PATH/<name>/<artifact>, PATH/<name>.<suffix>

This is the layout of TensorFlow Serving and of Triton. A file called ``model.<suffix>`` is the artifact of the folder
that it lies in, which gives the model its name.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlbuffet.errors import ArtifactNotFound, InvalidModelName, NoModels
from mlbuffet.runtimes import Runtimes

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"0*([1-9][0-9]{0,17})")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a model on disk."""

    name: str
    version: int
    path: Path


def find_versions(path: Path, runtimes: Runtimes, runtime: str | None = None) -> list[StoredVersion]:
    """The versions of models at ``path``, by name and version.

    Whatever lies where a model is expected is one, whether a runtime accepts it or not: loading says what is wrong with
    it. With ``runtime`` that one alone is asked, and a folder in which it sees nothing is taken for its artifact.
    Raises `ArtifactNotFound`, `InvalidModelName`, `UnknownRuntime`, or `NoModels` for a folder without any artifact.
    """
    if not path.exists():
        raise ArtifactNotFound(path)
    asked = list(runtimes) if runtime is None else [runtimes.select(path, runtime)]

    def accepted(candidate: Path) -> bool:
        return any(one.accepts(candidate) for one in asked)

    if path.is_file():
        return [StoredVersion(_model_name(path.stem), 1, path)]
    if _numbered(path) or _is_one_model(path, accepted):
        return list(_versions(path, accepted))
    found = list(_models_in(path, accepted))
    if any(accepted(stored.path) for stored in found):
        return found
    if runtime is not None:
        return list(_versions(path, accepted))
    raise NoModels(path, [candidate.name for candidate in asked], runtimes.broken)


def _models_in(root: Path, accepted: Callable[[Path], bool]) -> Iterator[StoredVersion]:
    for child in _visible(root):
        if MODEL_NAME.fullmatch(_name_of(child)) is None:
            logger.warning("ignored '%s': %s", child, InvalidModelName(_name_of(child)))
        elif child.is_dir():
            yield from _versions(child, accepted)
        elif accepted(child):
            yield StoredVersion(child.stem, 1, child)
        else:
            logger.warning("ignored '%s': no runtime accepts it", child)


def _versions(folder: Path, accepted: Callable[[Path], bool]) -> Iterator[StoredVersion]:
    """The versions in the folder of one model; without numbered folders, the artifact is version 1."""
    name = _model_name(_name_of(folder.resolve()))
    for version, child in _numbered(folder) or [(1, folder)]:
        yield StoredVersion(name, version, _artifact_in(child, accepted))


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_VERSION.fullmatch(child.name), child) for child in _visible(folder) if child.is_dir())
    return sorted((int(match[1]), child) for match, child in matches if match)


def _artifact_in(folder: Path, accepted: Callable[[Path], bool]) -> Path:
    """The folder itself, or the only artifact in it: a runtime need not know that an artifact may come in a folder."""
    if accepted(folder):
        return folder
    match [child for child in _visible(folder) if accepted(child)]:
        case [artifact]:
            return artifact
    return folder


def _is_one_model(folder: Path, accepted: Callable[[Path], bool]) -> bool:
    """Whether the folder is an artifact, or holds ``model.<suffix>``; an artifact named otherwise is one of several."""
    artifacts = {child.stem for child in _visible(folder) if child.is_file() and accepted(child)}
    return artifacts == {"model"} or (not artifacts and accepted(folder))


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _name_of(path: Path) -> str:
    return path.stem if path.is_file() else path.name


def _model_name(name: str) -> str:
    if MODEL_NAME.fullmatch(name) is None:
        raise InvalidModelName(name)
    return name
