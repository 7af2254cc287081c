"""What a version was loaded from, as a digest: the same on every server that loaded the same."""

import secrets
from collections.abc import Callable
from hashlib import file_digest, sha256
from pathlib import Path

import msgspec

from mlbuffet.model import Model
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.fingerprint import fingerprint
from mlbuffet.repository.layout import StoredVersion


def load_with_content(
    load: Callable[[], Model], stored: StoredVersion, configuration: Configuration
) -> tuple[Model, bytes]:
    """The model that ``load`` loads, and the digest of its files, its runtime and its options.

    Where files changed meanwhile nobody knows what was loaded, and the digest is one that there is nowhere else.
    """
    before = _look_of(stored)
    model = load()
    runtime = model.runtime
    try:
        files = {str(path.relative_to(stored.path.parent)): _digest(path) for path in sorted(_files(stored))}
        if before != _look_of(stored):
            return model, secrets.token_bytes(32)
    except OSError:  # a file is gone by now
        return model, secrets.token_bytes(32)
    parts = [files, runtime.name, runtime.distribution, runtime.version, configuration.options]
    return model, sha256(msgspec.json.encode(parts, order="deterministic")).digest()


def _files(stored: StoredVersion) -> list[Path]:
    """The files of a version; for one that is a single file, also what lies beside it and is called after it."""
    path = stored.path
    if path.is_dir():
        return [path / name for name, *_ in fingerprint(path).entries]
    if stored.fingerprint is None or any(not name for name, *_ in stored.fingerprint.entries):
        return [one for one in path.parent.iterdir() if one.name.startswith(path.stem) and one.is_file()]
    return [path.parent / name for name, *_ in fingerprint(path.parent).entries]


def _look_of(stored: StoredVersion) -> object:
    """What changes when a file does."""
    try:
        return {path: fingerprint(path) for path in _files(stored)}
    except OSError:  # loading says what is wrong
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
