"""Which versions of which models a path holds.

    PATH is one artifact            iris.onnx, or a SavedModel's folder: the model is named after it
    PATH is one model               PATH/<version>/<artifact>, versions being whole numbers from 1
    PATH is a folder of models      PATH/<name>/<version>/<artifact>, PATH/<name>/<artifact>, PATH/<name>.<suffix>

This is the layout of TensorFlow Serving and of Triton. A file called ``model.<suffix>`` is the artifact of the folder
that it lies in, which gives the model its name; ``model.toml`` beside the versions, or the artifact, is the model's
configuration. Names that begin with a dot are passed over.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlbuffet.artifact import check_path
from mlbuffet.errors import (
    DuplicateModel,
    InvalidConfiguration,
    InvalidModelName,
    MLBuffetError,
    NoModels,
)
from mlbuffet.repository.configuration import FILE_NAME, Configuration, read_configuration
from mlbuffet.repository.fingerprint import Fingerprint, fingerprint
from mlbuffet.repository.pointer import read_pointer
from mlbuffet.runtimes import Runtime, Runtimes

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DEFAULTS = Configuration()
_VERSION = re.compile(r"0*([1-9][0-9]{0,17})")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a model on disk; ``fingerprint`` is that of all its files, of which the artifact may be a part."""

    name: str
    version: int
    path: Path
    fingerprint: Fingerprint | None = None
    place: Path | None = None
    """The folder that holds all its files, where the artifact is not all there is."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model on disk; with an ``error`` its versions cannot be loaded."""

    name: str
    versions: tuple[StoredVersion, ...]
    configuration: Configuration = DEFAULTS
    error: MLBuffetError | None = None
    default: int | None = None
    """The version that was chosen to answer requests that name none."""


def find_versions(path: Path, runtimes: Runtimes, runtime: str | None = None) -> list[StoredVersion]:
    """The versions of models at ``path``, by name and version; raises as `find_models` does."""
    return [stored for model in find_models(path, runtimes, runtime) for stored in model.versions]


def find_models(
    path: Path, runtimes: Runtimes, runtime: str | None = None, warn: Callable[[str], None] = logger.warning
) -> list[StoredModel]:
    """The models at ``path``, by name.

    Whatever lies where a model is expected is one, whether a runtime accepts it or not: loading says what is wrong with
    it. With ``runtime`` that one alone is asked, and a folder in which it sees nothing is taken for its artifact.
    ``warn`` hears of what is ignored. Raises `ArtifactNotFound`, `ArtifactUnreadable`, `InvalidModelName`,
    `UnknownRuntime`, or `NoModels` for a folder without any artifact.
    """
    return _Finder(runtimes, runtime, warn).find(path)


def find_model(folder: Path, runtimes: Runtimes, runtime: str | None = None) -> StoredModel | None:
    """The model of a folder of models that lies in ``folder``, if there is one."""
    found = _Finder(runtimes, runtime, lambda _: None).model(folder) if folder.is_dir() else []
    return found[0] if found else None


def find_artifact(folder: Path, runtimes: Runtimes, runtime: str | None = None) -> Path:
    """The folder of a version, or the only artifact in it: a runtime need not know that it may come in a folder."""
    return _Finder(runtimes, runtime, lambda _: None).artifact_in(folder, None)


def is_folder_of_models(path: Path, runtimes: Runtimes, runtime: str | None = None) -> bool:
    """Whether ``path`` is a folder for many models, or an empty one, and not that of one model or artifact."""
    return path.is_dir() and not _Finder(runtimes, runtime, lambda _: None).is_one_model(path)


def merged(models: Iterable[StoredModel]) -> list[StoredModel]:
    """Models of one name as one; where they have a version in common, that is its error."""
    by_name: dict[str, StoredModel] = {}
    for model in models:
        by_name[model.name] = _united(by_name[model.name], model) if model.name in by_name else model
    return [by_name[name] for name in sorted(by_name)]


def _united(one: StoredModel, other: StoredModel) -> StoredModel:
    versions = {stored.version: stored for stored in one.versions}
    error = one.error or other.error
    for stored in other.versions:
        twin = versions.setdefault(stored.version, stored)
        if twin is not stored:
            error = DuplicateModel(one.name, stored.version, [twin.path, stored.path])
    configured = one if one.configuration != DEFAULTS else other
    found = tuple(versions[number] for number in sorted(versions))
    return replace(configured, versions=found, error=error, default=one.default or other.default)


class _Finder:
    """What is asked while one path is looked through."""

    def __init__(self, runtimes: Runtimes, runtime: str | None, warn: Callable[[str], None]) -> None:
        self._runtimes = runtimes
        self._runtime = runtime
        self._warn = warn

    def find(self, path: Path) -> list[StoredModel]:
        check_path(path)
        asked = list(self._runtimes) if self._runtime is None else [self._runtimes.select(path, self._runtime)]
        if path.is_file():
            return [_single(_model_name(path.stem), path)]
        if self.is_one_model(path):
            return self.model(path)
        found = merged(self._models_in(path))
        if any(self._knows(stored.path) for model in found for stored in model.versions):
            return found
        if self._runtime is not None:
            return self.model(path)
        raise NoModels(path, [candidate.name for candidate in asked], self._runtimes.broken)

    def is_one_model(self, path: Path) -> bool:
        return bool(_numbered(path)) or (path / FILE_NAME).is_file() or _is_one_model(path, self._knows)

    def _knows(self, candidate: Path, named: str | None = None) -> bool:
        """Whether a runtime accepts it, or says why it cannot be served: loading it will say the same."""
        name = named or self._runtime
        asked: Iterable[Runtime] = self._runtimes
        if name is not None:
            asked = [self._runtimes[name]] if name in self._runtimes else []
        return any(one.accepts(candidate) or one.explain(candidate) for one in asked)

    def _models_in(self, root: Path) -> Iterator[StoredModel]:
        for child in _visible(root):
            if MODEL_NAME.fullmatch(_name_of(child)) is None:
                self._warn(f"ignored '{child}': {InvalidModelName(_name_of(child))}")
            elif child.is_dir():
                yield from self._readable_model(child)
            elif self._knows(child):
                yield _single(child.stem, child)
            else:
                self._warn(f"ignored '{child}': no runtime accepts it")

    def _readable_model(self, folder: Path) -> list[StoredModel]:
        try:
            return self.model(folder)
        except PermissionError:
            self._warn(f"ignored '{folder}': it may not be read")
            return []

    def model(self, folder: Path) -> list[StoredModel]:
        """The model in its folder; none where there is no file. Without numbered folders, the artifact is version 1."""
        name = _model_name(_name_of(folder.resolve()))
        configuration = DEFAULTS
        error: MLBuffetError | None = None
        if (folder / FILE_NAME).exists():
            try:
                configuration = read_configuration(folder / FILE_NAME)
            except InvalidConfiguration as wrong:
                error = wrong
        numbered = _numbered(folder)
        versions: dict[int, StoredVersion] = {}
        for version, child in numbered or [(1, folder)]:
            stored = self._version(name, version, child, configuration.runtime)
            if stored and (twin := versions.setdefault(version, stored)) is not stored:
                error = DuplicateModel(name, version, [twin.path, stored.path])
        if numbered:
            self._warn_of_strays(folder, {child for _, child in numbered})
        if not versions:
            return []
        return [StoredModel(name, tuple(versions.values()), configuration, error, read_pointer(folder))]

    def _version(self, name: str, version: int, folder: Path, runtime: str | None) -> StoredVersion | None:
        seen = fingerprint(folder, None if folder.name == name else folder.parent)
        return StoredVersion(name, version, self.artifact_in(folder, runtime), seen, folder) if seen.entries else None

    def artifact_in(self, folder: Path, runtime: str | None) -> Path:
        if self._knows(folder, runtime):
            return folder
        match [child for child in _visible(folder) if self._knows(child, runtime)]:
            case [artifact]:
                return artifact
        return folder

    def _warn_of_strays(self, folder: Path, versions: set[Path]) -> None:
        for child in _visible(folder):
            if child not in versions:
                self._warn(f"ignored '{child}': it is no version; versions are folders named 1, 2, 3...")


def _single(name: str, path: Path) -> StoredModel:
    return StoredModel(name, (StoredVersion(name, 1, path, fingerprint(path)),))


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_VERSION.fullmatch(child.name), child) for child in _visible(folder) if child.is_dir())
    return sorted((int(match[1]), child) for match, child in matches if match)


def _is_one_model(folder: Path, known: Callable[[Path], bool]) -> bool:
    """Whether the folder is an artifact, or holds ``model.<suffix>``; an artifact named otherwise is one of several."""
    artifacts = {child.stem for child in _visible(folder) if child.is_file() and known(child)}
    return artifacts == {"model"} or (not artifacts and known(folder))


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name != FILE_NAME)


def _name_of(path: Path) -> str:
    return path.stem if path.is_file() else path.name


def _model_name(name: str) -> str:
    if MODEL_NAME.fullmatch(name) is None:
        raise InvalidModelName(name)
    return name
