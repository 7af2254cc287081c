"""Which versions of which models a path holds.

    PATH is one artifact            iris.onnx, or a SavedModel's folder: the model is named after it
    PATH is one model               PATH/<version>/<artifact>, versions being whole numbers from 0
    PATH is a folder of models      PATH/<name>/<version>/<artifact>, PATH/<name>/<artifact>, PATH/<name>.<suffix>

This is the layout of TensorFlow Serving and of Triton. A file called ``model.<suffix>`` is the artifact of the folder
that it lies in, which gives the model its name; ``model.toml`` beside the versions, or the artifact, is the model's
configuration, and so is ``NAME.toml`` beside ``NAME.<suffix>``. Names that begin with a dot are ignored. Links count as
what they lead to, under their own names.

A folder with any other name than a number is no version. A model without versions is the one artifact in its folder,
which may lie in the only folder in it: that is version 1.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlbuffet.artifact import (
    check_artifact,
    check_path,
    is_broken_link,
    is_file,
    is_folder,
    own_name,
    readable,
    visible,
)
from mlbuffet.contents import failed_download, known_problem
from mlbuffet.errors import (
    ArtifactNotFound,
    ArtifactUnreadable,
    DuplicateModel,
    InvalidConfiguration,
    InvalidModelName,
    InvalidPlace,
    MLBuffetError,
    NoModels,
)
from mlbuffet.repository.configuration import FILE_NAME, Configuration, read_configuration
from mlbuffet.repository.default_file import read_default_version
from mlbuffet.repository.fingerprint import Fingerprint, fingerprint
from mlbuffet.repository.names import name_in_folder, name_of
from mlbuffet.repository.received_upload import Provenance, came_with_an_upload, read_provenance
from mlbuffet.runtime_choice import Preference, Wanted, names_of
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.version_numbers import LARGEST, numbered_folders, version_number

DEFAULTS = Configuration()
_VERSIONS = f"versions are folders named by whole numbers from 0 to {LARGEST}"
_NOWHERE = "it is a link that leads nowhere, or back to where it lies"
_DEPTH = 2
"""How deep in the folder of a version its artifact may lie."""

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
    upload: Provenance | None = field(default=None, hash=False)
    """What the client said that sent it, if one did."""

    @property
    def folder(self) -> Path:
        """The folder of the model, where its ``model.toml`` lies: that of the version, or the one that holds that."""
        place = self.place or self.path
        is_version = place.name != self.name and version_number(place.name) is not None
        return place if place.is_dir() and not is_version else place.parent


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model on disk; with an ``error`` its versions cannot be loaded."""

    name: str
    versions: tuple[StoredVersion, ...]
    configuration: Configuration = DEFAULTS
    error: MLBuffetError | None = None
    default: int | None = None
    """The version that was chosen to answer requests that name none."""

    @property
    def wanted(self) -> dict[int, StoredVersion]:
        """The versions that its configuration selects, and the chosen one."""
        by_number = {stored.version: stored for stored in self.versions}
        selected = self.configuration.selected(set(by_number))
        return {number: one for number, one in by_number.items() if number in selected or number == self.default}


def find_models(
    path: Path,
    runtimes: Runtimes,
    runtime: Wanted = None,
    warn: Callable[[str], None] = logger.warning,
    name: str | None = None,
) -> list[StoredModel]:
    """The models at ``path``, by name; with ``name`` the only one, under that name.

    Whatever lies where a model is expected is one, whether a runtime accepts it or not: loading fails with the
    reason. ``runtime``, or those of a sequence, decide where several accept; a folder in which none accepts anything
    is taken for the artifact of a single ``runtime``. ``warn`` is called with a line for each thing that is ignored.
    Raises `ArtifactNotFound`, `ArtifactUnreadable`, `InvalidModelName`, `UnknownRuntime`, `NoModels` for a folder
    without any artifact, or `InvalidPlace` for a folder of several models under one ``name``.
    """
    return Finder(runtimes, Preference.of(runtime), warn).find(path, name)


def has_configuration(folder: Path) -> bool:
    """Whether a ``model.toml`` in ``folder`` counts: one that came with an upload could have programs run."""
    return (folder / FILE_NAME).exists() and not came_with_an_upload(folder)


class Finder:
    """The search for models that the runtimes can load which ``wanted`` allows."""

    def __init__(self, runtimes: Runtimes, wanted: Wanted, warn: Callable[[str], None] = lambda _: None) -> None:
        self._runtimes = runtimes
        self._wanted = wanted
        self._warn = warn

    def find(self, path: Path, name: str | None = None) -> list[StoredModel]:
        """See `find_models`."""
        check_path(path)
        last_resort = self._wanted.last_resort if isinstance(self._wanted, Preference) else None
        if last_resort is not None:
            self._runtimes.select(path, last_resort)  # it may not be installed
        if path.is_file():
            return _single(name or name_of(path), path)
        with readable(path):
            if self._is_one_model(path):
                return self._models_of(path, name or name_of(path))
            found = self.merged(self._models_in(path))
            known = [model for model in found if self._explains(model)]
            if known:
                return found if name is None else [_only(known, name, path)]
            if last_resort is not None:
                return self._models_of(path, name or name_of(path))
        raise NoModels(path, [one.name for one in self._runtimes], self._runtimes.broken)

    def merged(self, models: Iterable[StoredModel]) -> list[StoredModel]:
        """Models of one name as one, in which each version is there once, or has an error."""
        by_name: dict[str, list[StoredModel]] = {}
        for model in models:
            by_name.setdefault(model.name, []).append(model)
        return [self._united(by_name[name]) for name in sorted(by_name)]

    def model(self, folder: Path) -> StoredModel | None:
        """The model that lies in ``folder``, if there is one."""
        found = self._models_of(folder, own_name(folder)) if folder.is_dir() else []
        return found[0] if found else None

    def is_folder_of_models(self, path: Path) -> bool:
        """Whether ``path`` is a folder for many models, or an empty one, and not that of one model or artifact."""
        return path.is_dir() and not self._is_one_model(path)

    def _is_one_model(self, path: Path) -> bool:
        """Whether the folder is a model or an artifact; a file in it that is not ``model.*`` is one of several."""
        if numbered_folders(path) or has_configuration(path):
            return True
        files = [child for child in _visible(path) if is_file(child)]
        if artifacts := {child.stem for child in files if self._accepts(child)}:
            return artifacts == {"model"}
        return self._knows(path) or {child.stem for child in files if self._knows(child)} == {"model"}

    def _candidates(self, wanted: Wanted) -> list[Runtime]:
        return self._runtimes.candidates(wanted or self._wanted)

    def _accepts(self, candidate: Path, wanted: Wanted = None) -> bool:
        return any(one.accepts(candidate) for one in self._candidates(wanted))

    def _knows(self, candidate: Path, wanted: Wanted = None) -> bool:
        """Whether a runtime accepts it, or explains why it cannot be served, which loading will repeat."""
        return any(one.accepts(candidate) or one.explain(candidate) for one in self._candidates(wanted))

    def _first(self, artifacts: list[Path], wanted: Wanted, folder: Path | None = None) -> Path | None:
        """The one of several artifacts that the first runtime accepts which is named, and accepts any.

        With ``folder``, which a runtime accepts for one of them: that one, if a runtime goes first that accepts it.
        """
        names = names_of(wanted or self._wanted)
        for_folder = [one for one in self._candidates(wanted) if names and folder and one.accepts(folder)]
        for name in names:
            if any(one.name == name for one in for_folder):
                return None
            match [one for one in artifacts if self._accepts(one, name)]:
                case [artifact] if folder is None or any(one.accepts(artifact) for one in for_folder):
                    return artifact
                case [_, *_]:
                    return None
        return None

    def _united(self, models: list[StoredModel]) -> StoredModel:
        if len(models) == 1:
            return models[0]
        found = [stored for model in models for stored in model.versions]
        versions, error = self._unique(found, _configured(models).configuration.runtime)
        kept = [model for model in models if not model.versions or any(one in versions for one in model.versions)]
        cause = error or next((model.error for model in kept if model.error), None)
        default = next((model.default for model in kept if model.default is not None), None)
        return replace(_configured(kept), versions=versions, error=cause, default=default)

    def _unique(
        self, found: Iterable[StoredVersion], wanted: Wanted
    ) -> tuple[tuple[StoredVersion, ...], DuplicateModel | None]:
        """Each version of a model once, by number: where several artifacts are one version, that which goes first.

        With an error where nothing says which one that is.
        """
        by_number: dict[int, list[StoredVersion]] = {}
        for stored in found:
            by_number.setdefault(stored.version, []).append(stored)
        error = None
        for number, several in by_number.items():
            if len(several) == 1:
                continue
            first = self._first([one.path for one in several], wanted)
            if first is None:
                error = DuplicateModel(several[0].name, number, [several[0].path, several[-1].path])
                continue
            several.sort(key=lambda one: one.path != first)
            for other in several[1:]:
                what = f"version {number} of the model {other.name!r}"
                self._ignore(other.path, f"'{first}' is {what}, and its runtime goes first")
        return tuple(by_number[number][0] for number in sorted(by_number)), error

    def _explains(self, model: StoredModel) -> bool:
        """Whether loading it gives another reason than that no runtime accepts it."""
        unreadable = any(_unreadable(stored.path) for stored in model.versions)
        return model.error is not None or unreadable or any(self._knows(stored.path) for stored in model.versions)

    def _models_in(self, root: Path) -> Iterator[StoredModel]:
        names = set()
        others = []
        for child in _entries(root):
            try:
                name = name_in_folder(child)
            except InvalidModelName as error:
                self._ignore(child, str(error))
                continue
            if is_broken_link(child):
                self._ignore(child, _NOWHERE)
            elif is_folder(child):
                names.add(name)
                yield from self._readable_model(child)
            elif self._accepts(child):
                names.add(name)
                yield from _single(name, child)
            else:
                others.append(child)
        for file in others:  # a model that fails if there is a reason, and no other has its name
            reason = _unreadable(file)
            if file.stem not in names and (reason or self._knows(file)):
                names.add(file.stem)
                yield from _single(file.stem, file, reason)
            else:
                self._ignore(file, _why_ignored(file, has_twin=file.stem in names))

    def _readable_model(self, folder: Path) -> list[StoredModel]:
        """The model in its folder, with an error where the folder may not be looked into."""
        try:
            return self._models_of(folder, folder.name)
        except FileNotFoundError:  # it was removed meanwhile
            return []
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return _single(folder.name, folder, ArtifactUnreadable(folder, reason))

    def _models_of(self, folder: Path, name: str) -> list[StoredModel]:
        """The model in its folder; none where there is no file. Without numbered folders, the artifact is version 1."""
        numbered = numbered_folders(folder)
        configuration = DEFAULTS
        error: MLBuffetError | None = None
        if has_configuration(folder):
            try:
                configuration = read_configuration(folder / FILE_NAME)
            except InvalidConfiguration as wrong:
                error = wrong
        elif (folder / FILE_NAME).exists():
            self._ignore(folder / FILE_NAME, "it came with an upload, which can say nothing of how it is run")
        found: list[StoredVersion] = []
        for version, child in numbered or [(1, folder)]:
            seen = fingerprint(child, folder if numbered else None)
            upload = read_provenance(child)
            artifact = self.artifact(child, configuration.runtime or (upload.runtime if upload else None))
            if seen.entries:
                found.append(StoredVersion(name, version, artifact, seen, child, upload))
        versions, duplicate = self._unique(found, configuration.runtime)
        if numbered:
            self._warn_of_strays(folder, {child for _, child in numbered})
        elif versions:
            self._warn_of_others(folder, versions[0])
        if not versions:
            return []
        return [StoredModel(name, versions, configuration, duplicate or error, read_default_version(folder))]

    def artifact(self, folder: Path, wanted: Wanted = None, depth: int = _DEPTH) -> Path:
        """The folder of a version, or the only artifact in it: a runtime need not know that it may come in a folder."""
        with suppress(PermissionError):  # loading fails with the reason
            if self._knows(folder, wanted):
                return self._first(_visible(folder), wanted, folder) or folder
            inside = _visible(folder)
            for fits in (self._accepts, self._knows):
                match [child for child in inside if fits(child, wanted)]:
                    case [artifact]:
                        return artifact
                    case [_, *_] as several:
                        return self._first(several, wanted) or folder
                if _unreadable(folder):  # it may be the artifact
                    return folder
            match [child for child in inside if is_folder(child)]:
                case [only] if depth and (found := self.artifact(only, wanted, depth - 1)) != only:
                    return found
        return folder

    def _warn_of_strays(self, folder: Path, versions: set[Path]) -> None:
        for child in _visible(folder):
            if child not in versions:
                self._ignore(child, _NOWHERE if is_broken_link(child) else f"it is no version; {_VERSIONS}")

    def _warn_of_others(self, folder: Path, version: StoredVersion) -> None:
        """Of folders that may be meant as versions, in a folder that is no artifact itself."""
        if version.path == folder and (self._knows(folder) or _unreadable(folder)):
            return
        for child in filter(is_folder, _visible(folder)):
            if version.path.is_relative_to(child):
                what = f"it is served as version 1 of the model {version.name!r}"
                self._warn(f"{str(child)!r} is no version, and {what}; {_VERSIONS}")
            else:
                self._ignore(child, f"it is no version; {_VERSIONS}")

    def _ignore(self, path: Path, problem: str) -> None:
        self._warn(f"ignored {str(path)!r}: {problem}")  # whatever its name is made of


def _configured(models: list[StoredModel]) -> StoredModel:
    """The first with a configuration, else the last."""
    return next((one for one in models if one.configuration != DEFAULTS), models[-1])


def configuration_beside(artifact: Path) -> Path | None:
    """Where the configuration of a model lies that is a single file: ``wine.toml`` beside ``wine.onnx``."""
    path = artifact.with_suffix(".toml")
    return None if path == artifact else path


def _single(name: str, path: Path, error: MLBuffetError | None = None) -> list[StoredModel]:
    with suppress(FileNotFoundError):  # it was removed meanwhile
        seen = None if error else fingerprint(path)
        configuration = DEFAULTS
        try:
            configuration = _configuration_beside(path)
        except InvalidConfiguration as wrong:
            error = error or wrong
        return [StoredModel(name, (StoredVersion(name, 1, path, seen),), configuration, error)]
    return []


def _configuration_beside(artifact: Path) -> Configuration:
    file = configuration_beside(artifact)
    if file is None or not is_file(artifact) or not is_file(file) or came_with_an_upload(artifact.parent):
        return DEFAULTS
    return read_configuration(file)


def _only(models: list[StoredModel], name: str, path: Path) -> StoredModel:
    """The only one of ``models``, under another name. Raises `InvalidPlace`."""
    if len(models) > 1:
        names = ", ".join(sorted(one.name for one in models))
        raise InvalidPlace(
            f"{name}={path}", f"it holds several models: {names}; serve '{path}' without a name, or one of them with it"
        )
    versions = tuple(replace(one, name=name) for one in models[0].versions)
    return replace(models[0], name=name, versions=versions)


def _visible(folder: Path) -> list[Path]:
    return [child for child in visible(folder) if child.name != FILE_NAME]


def _entries(root: Path) -> list[Path]:
    """What may be a model in a folder: not the configurations of files."""
    children = _visible(root)
    configurations = {configuration_beside(child) for child in children if is_file(child)}
    return [child for child in children if child not in configurations or is_folder(child)]


def _why_ignored(file: Path, *, has_twin: bool) -> str:
    if file.suffix == ".toml":
        return f"no file beside it is the model {file.stem!r}; a folder has its {FILE_NAME} in it"
    if has_twin:
        return "no runtime accepts it, and another model has its name"
    return failed_download(file) or known_problem(file) or "no runtime accepts it"


def _unreadable(path: Path) -> ArtifactUnreadable | None:
    try:
        with suppress(ArtifactNotFound):
            check_artifact(path)
    except ArtifactUnreadable as error:
        return error
    return None
