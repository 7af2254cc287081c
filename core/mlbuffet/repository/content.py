"""What a version was loaded from, as a digest: the same on every server that loaded the same."""

import secrets
from collections.abc import Callable
from hashlib import file_digest, sha256
from pathlib import Path

import msgspec

from mlbuffet.model import Model
from mlbuffet.repository.fingerprint import fingerprint
from mlbuffet.repository.layout import StoredVersion, configuration_beside
from mlbuffet.repository.load_settings import LoadSettings


def load_with_content(load: Callable[[], Model], stored: StoredVersion, settings: LoadSettings) -> tuple[Model, bytes]:
    """The model that ``load`` loads, and the digest of its files, its runtime and its options.

    Where files changed meanwhile it is unknown what was loaded, and the digest is a random one.
    """
    before = _look_of(stored)
    model = load()
    runtime = model.runtime
    try:
        files = {ascii(name): _digest(path) for name, path in _files(stored).items()}  # a name may be no UTF-8
        if before != _look_of(stored):
            return model, secrets.token_bytes(32)
    except OSError:  # a file was removed
        return model, secrets.token_bytes(32)
    options = runtime.combined_options(settings.options, settings.client_options)
    parts = [files, runtime.name, runtime.distribution, runtime.version, options]
    return model, sha256(msgspec.json.encode(parts, order="deterministic")).digest()


def _files(stored: StoredVersion) -> dict[str, Path]:
    """The files of a version by name; of a single file, also those beside it whose names begin with its stem."""
    path = stored.path
    if path.is_file() and (stored.fingerprint is None or any(not name for name, *_ in stored.fingerprint.entries)):
        beside = (one for one in path.parent.iterdir() if one != configuration_beside(path))
        return {one.name: one for one in beside if one.name.startswith(path.stem) and one.is_file()}
    folder = path if path.is_dir() else path.parent
    return {name: folder / name for name, *_ in fingerprint(folder).entries}


def _look_of(stored: StoredVersion) -> object:
    """What changes when a file does."""
    try:
        return {path: fingerprint(path) for path in _files(stored).values()}
    except OSError:  # loading fails with the reason
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
