"""Versions that clients add, choose and remove: each whole or absent, whenever the process may end."""

import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Semaphore, Thread

from mlbuffet.errors import (
    InvalidConfiguration,
    InvalidInput,
    MLBuffetError,
    ModelNotFound,
    NotChangeable,
    StorageFailed,
    UploadRefused,
    reason_of,
)
from mlbuffet.repository.catalog import Catalog
from mlbuffet.repository.configuration import FILE_NAME, Configuration, read_configuration
from mlbuffet.repository.default_file import read_default_version, write_default_version
from mlbuffet.repository.disk import Disk, discard, storing
from mlbuffet.repository.layout import StoredModel, has_configuration
from mlbuffet.repository.load_settings import load_settings
from mlbuffet.repository.names import MODEL_NAME
from mlbuffet.repository.reading import Readers
from mlbuffet.repository.received_upload import Provenance, Upload
from mlbuffet.repository.repository import ModelRepository
from mlbuffet.repository.staging import Staging
from mlbuffet.repository.upload_policy import UploadPolicy, risks_text
from mlbuffet.repository.validation import PATIENCE, validate
from mlbuffet.repository.version_lifecycle import State
from mlbuffet.version_numbers import LARGEST

TRIALS = 2
"""How many versions are validated at a time: each takes the memory of a process with a framework."""
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)

logger = logging.getLogger(__name__)


class Publisher:
    """Changes the models in the folder ``root``, and what ``repository`` serves of them, both or neither.

    What is whole is renamed, so that a crash leaves a version or none; a method that returns has synced its change. The
    changes of one model happen one after the other. ``policy`` is for uploads. ``wait_until_loaded`` waits until a
    version of a model is ready where others serve it, and raises why it cannot be. Raises `StorageFailed` where the
    file system fails.
    """

    def __init__(
        self,
        root: Path,
        catalog: Catalog,
        repository: ModelRepository,
        *,
        policy: UploadPolicy = "off",
        disk: Disk | None = None,
        patience: float = PATIENCE,
        wait_until_loaded: Callable[[str, int], None] | None = None,
    ) -> None:
        self.readers = Readers()
        self._root = root
        self._catalog = catalog
        self._repository = repository
        self._policy = policy
        self._disk = disk or Disk()
        self._patience = patience
        self._wait_until_loaded = wait_until_loaded or self._wait_until_loaded_here
        self._staging = Staging(root)
        self._trials = Semaphore(TRIALS)
        self._locks: dict[str, Lock] = {}
        self._highest: dict[str, int] = {}
        """The highest number that each model had: one that was removed is not given to another version."""

    def receive(self, name: str, limit: int) -> Upload:
        """A place for a file of at most ``limit`` bytes, a version of the model ``name``.

        Raises `InvalidInput` for a name that cannot be a model's, `NotChangeable`, and `InvalidConfiguration`.
        """
        if MODEL_NAME.fullmatch(name) is None or name.isdigit():
            raise InvalidInput(
                f"{name!r} cannot be a model's name: a name starts with a letter or digit, goes on with letters, "
                "digits, '.', '_' and '-', 128 characters at most, and is no number"
            )
        with storing():
            self._configuration(name)
            return Upload(self._staging.new(), limit, self._disk)

    def publish(self, name: str, upload: Upload, provenance: Provenance) -> int:
        """Make an upload the newest version of a model, and its default; the result is its number.

        Raises `UploadRefused`, why it cannot be loaded, and `NotChangeable`.
        """
        try:
            with storing():
                upload.unpack(provenance)
                configuration = self._configuration(name)
                self._check_settings(name, upload.content, configuration, provenance)
                self._validate(upload.content, self._root / name, configuration, provenance)
                self._disk.sync_all(upload.content)
                with self._lock(name):
                    return self._add(name, upload.content)
        except StorageFailed:  # logged where it is answered
            raise
        except MLBuffetError as error:  # a client gets the public part alone
            logger.warning("an upload to the model %r is refused: %s", name, reason_of(error))
            raise

    def choose(self, name: str, version: int) -> None:
        """Make a version the default. Raises `ModelNotFound`, `NotChangeable`, and why it cannot be loaded."""
        with storing(), self._lock(name):
            stored = self._repository.stored_version(name, version)
            before = read_default_version(self._root / name)
            if version == before or len(self._repository.stored(name).versions) == 1:
                return
            if self._own(name) is None or (self._root / name).is_symlink():
                raise _elsewhere(name)
            if not any(one.version == version and one.state is State.READY for one in self._repository.versions(name)):
                self._validate(stored.place or stored.path, stored.folder, self._configuration(name), stored.upload)
            self._point(name, version)
            try:
                self._wait_until_loaded(name, version)
            except MLBuffetError:
                self._point(name, before)
                raise

    def remove(self, name: str, version: int | None = None) -> int:
        """Remove a version, else the default; the result is its number. Raises `ModelNotFound` and `NotChangeable`."""
        with storing(), self._lock(name):
            stored = self._repository.stored_version(name, version)
            number, place = stored.version, stored.place or stored.path
            folder = self._root / name
            if place.parent != self._root and (place.parent != folder or folder.is_symlink()):
                raise _elsewhere(name)
            self._withdraw(name, number, place)
            if read_default_version(folder) == number:
                with suppress(OSError):  # a default without its version is ignored
                    self._point(name, None)
            with suppress(OSError):  # other versions or a model.toml are there
                folder.rmdir()
            return number

    def close(self) -> None:
        """Remove what was staged; nothing can be changed any more."""
        self._staging.close()

    def _add(self, name: str, content: Path) -> int:
        folder = self._root / name
        configuration = self._configuration(name)
        known = self._numbers(name)
        number = max(known | {self._highest.get(name, 0)}) + 1
        if number not in configuration.selected(known | {number}):
            raise NotChangeable(f'the model.toml of {name!r} does not serve new versions: write versions = "all"')
        try:
            number = self._put(name, content, number)
            try:
                self._wait_until_loaded(name, number)
                if read_default_version(folder) is not None:
                    self._point(name, None)
            except (MLBuffetError, OSError):
                with suppress(OSError):
                    self._withdraw(name, number, folder / str(number))
                raise
        except (MLBuffetError, OSError):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
            raise
        return number

    def _put(self, name: str, content: Path, number: int) -> int:
        """Rename a version into place, under a number that another process has not taken meanwhile."""
        folder = self._root / name
        while True:
            if number > LARGEST:
                raise NotChangeable(f"the model {name!r} has the largest number that a version can have: {LARGEST}")
            if not folder.is_dir():
                with suppress(FileExistsError):  # another process may be making it too
                    self._disk.make_folder(folder)
                self._disk.sync(self._root)
            try:
                with self._catalog.changing(folder, number):
                    self._move(content, folder / str(number), folder)
                    self._highest[name] = number
                return number
            except OSError as error:
                if error.errno in _OCCUPIED:
                    number += 1
                elif error.errno != errno.ENOENT or folder.is_dir():  # else another process removed it while empty
                    raise

    def _withdraw(self, name: str, number: int, place: Path) -> None:
        removed = self._staging.new()
        with self._catalog.changing(self._root / name, number):
            self._move(place, removed, place.parent)
            self._highest[name] = max(number, self._highest.get(name, 0))

        def sweep() -> None:
            self.readers.wait(place)
            discard(removed)

        Thread(target=sweep, name="mlbuffet-sweep", daemon=True).start()

    def _move(self, source: Path, target: Path, changed: Path) -> None:
        """Rename, for good; where that fails, nothing was renamed."""
        self._disk.rename(source, target)
        try:
            self._disk.sync(changed)
        except OSError:
            with suppress(OSError):
                self._disk.rename(target, source)
            raise

    def _point(self, name: str, version: int | None) -> None:
        """Choose the default, for good; where that fails, the one before stays."""
        folder = self._root / name
        before = read_default_version(folder)
        with self._catalog.changing(folder):
            try:
                write_default_version(folder, version, self._staging.new(), self._disk)
            except OSError:
                with suppress(OSError):
                    write_default_version(folder, before, self._staging.new(), self._disk)
                raise

    def _check_settings(self, name: str, place: Path, configuration: Configuration, upload: Provenance) -> None:
        """Refuse what would be ignored, because the owner of the models says otherwise."""
        sources, owners = self._catalog.sources, configuration.runtime
        if owners and upload.runtime is not None:
            chosen = sources.runtimes.select(sources.finder.artifact(place, owners), owners).name
            if upload.runtime != chosen:
                raise UploadRefused(f"this server runs the model {name!r} with {chosen!r}, not with {upload.runtime!r}")
        owned = {**configuration.options, **self._repository.options.get(name, {})}
        if taken := [option for option, value in upload.options.items() if owned.get(option, value) != value]:
            raise UploadRefused(f"this server sets {', '.join(map(repr, taken))} for the model {name!r}: leave it out")

    def _validate(self, place: Path, folder: Path, configuration: Configuration, upload: Provenance | None) -> None:
        sources = self._catalog.sources
        given = self._repository.options.get(folder.name, {})
        settings = load_settings(folder, configuration, upload, given, sources.preference)
        artifact = sources.finder.artifact(place, settings.runtime) if place.is_dir() else place
        with self._trials:
            risks = validate(
                artifact,
                configuration,
                sources.runtimes,
                sources.preference,
                settings=settings,
                folder=folder,
                beside=sources.on_disk,
                policy="off" if upload is None else self._policy,
                patience=self._patience,
            )
        if risks:
            logger.warning("an upload to the model %r is taken though %s", folder.name, risks_text(risks))

    def _wait_until_loaded_here(self, name: str, number: int) -> None:
        """Until the version is ready, if it is to be loaded at all. Raises why it cannot be."""
        version = self._repository.get(name, number)
        if (loading := version.loading) is not None:
            loading.result()
        if version.state is State.FAILED and version.error is not None:
            raise version.error

    def _own(self, name: str) -> StoredModel | None:
        """The model as it lies in the folder."""
        return self._catalog.sources.finder.model(self._root / name)

    def _numbers(self, name: str) -> set[int]:
        """All numbers that are taken, also by versions that lie elsewhere or came a moment ago."""
        models = [self._own(name)]
        with suppress(ModelNotFound):
            models.append(self._repository.stored(name))
        return {one.version for model in models if model for one in model.versions}

    def _configuration(self, name: str) -> Configuration:
        """What governs the model: its ``model.toml``, else the file beside a model that is a file.

        Raises `NotChangeable` for a folder that can take no version, and the model's error.
        """
        folder = self._root / name
        if folder.is_symlink():
            raise _elsewhere(name)
        own = self._own(name)
        if own is None:
            return read_configuration(folder / FILE_NAME) if has_configuration(folder) else self._beside(name)
        if own.error is not None:
            raise own.error
        if any(one.place == folder for one in own.versions):
            raise NotChangeable(f"the model {name!r} has no numbered versions: move its files into a folder named 1")
        return own.configuration if has_configuration(folder) else self._beside(name)

    def _beside(self, name: str) -> Configuration:
        """That of ``wine.onnx`` in the same folder, which governs the versions in the folder ``wine`` too."""
        with suppress(ModelNotFound):
            stored = self._repository.stored(name)
            if any(one.path.parent == self._root and not one.path.is_dir() for one in stored.versions):
                if isinstance(stored.error, InvalidConfiguration):
                    raise stored.error
                return stored.configuration
        return Configuration()

    def _lock(self, name: str) -> Lock:
        return self._locks.setdefault(name, Lock())


def _elsewhere(name: str) -> NotChangeable:
    return NotChangeable(f"the model {name!r} is a link, or lies outside the folder that clients may change")
