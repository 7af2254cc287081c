"""What the names and the first bytes of a file say about a scikit-learn model in it."""

import re
import zipfile
from pathlib import Path

from mlbuffet.archives import Budget, checked, opened
from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import first_bytes

_SCHEMA = "schema.json"
_PICKLE = re.compile(rb"\x80[\x02-\x05].*(?<!\.)sklearn\.", re.DOTALL)
_COMPRESSED = (b"x\x01", b"x^", b"x\x9c", b"x\xda", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"]\0\0")
_MAX_ENTRIES = 10**6
_MAX_BYTES = 2**40


def is_model(path: Path) -> bool:
    """Whether ``path`` is a .skops file."""
    return path.suffix.lower() == ".skops" and first_bytes(path).startswith(b"PK\3\4")


def unservable(path: Path) -> str | None:
    """Why ``path``, which is scikit-learn's, cannot be served; ``None`` for models, and for what is not its."""
    if not path.is_file() or is_model(path):
        return None
    head, suffix = first_bytes(path, 4096), path.suffix.lower()
    if _PICKLE.match(head) or (suffix == ".joblib" and head.startswith(_COMPRESSED)):
        return (
            "it is a pickle of a scikit-learn model, and whatever code is in a pickle runs when it is read; if you "
            "trust it, convert it once, with the scikit-learn that wrote it: import joblib, skops.io; "
            f"skops.io.dump(joblib.load('model{suffix}'), 'model.skops')"
        )
    if suffix == ".skops":
        return "the .skops file is empty or damaged: it is no zip, as skops writes it; save the model again"
    if head.startswith(b"PK\3\4") and _is_skops(path):
        return "it is a .skops file under another name: rename it so that it ends in .skops"
    return None


def check(path: Path) -> None:
    """Raises `LoadFailed` for a file that is not whole, not written by skops, or that would grow out of bounds."""
    with opened(path) as archive:
        entries = checked(archive, Budget(path.stat().st_size, _MAX_BYTES), _MAX_ENTRIES)
        if not any(entry.filename == _SCHEMA for entry in entries):
            raise LoadFailed(f"it has no {_SCHEMA}, so skops did not write it; save the model with skops.io.dump")
        if archive.testzip():
            raise zipfile.BadZipFile("a checksum is wrong")


def _is_skops(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return _SCHEMA in archive.namelist()
    except zipfile.BadZipFile:
        return False
