"""What a file of Keras would grow to, before Keras reads any of it."""

import io
import struct
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mlbuffet.archives import Budget, checked, opened, pieces
from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._archive import MAX_ENTRIES

MAX_DESCRIPTION = 2**26
"""The bytes that a configuration may have: it is read whole, as Python objects."""
_DESCRIPTIONS = ("config.json", "metadata.json")
_LOCAL_HEADER = 30
_LENGTHS = struct.Struct("<26xHH")
"""Of the name and the extra field of a zip's entry, in the header before its content."""


def safe_keras_file(path: Path, folder: Callable[[], Path], budget: Budget) -> Path:
    """``path``, or where what is in it is compressed, a copy in ``folder`` in which nothing is.

    Keras reads each entry whole: one that is compressed may hold more than it declares, and is only cut to that size
    after it was inflated. Raises `LoadFailed` where it would grow beyond ``budget``.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _spend_on_hdf5(file, budget)
        return path
    with opened(path) as archive:
        entries = checked(archive, budget, MAX_ENTRIES)
        for entry in entries:
            if entry.filename in _DESCRIPTIONS and entry.file_size > MAX_DESCRIPTION:
                raise LoadFailed(
                    f"its {entry.filename} has {entry.file_size} bytes, and {MAX_DESCRIPTION} are read at most; export "
                    "the model with model.export(path)"
                )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            path = _stored(archive, entries, folder() / path.name)
    _spend_on_weights(path, budget)
    return path


def _stored(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as copy:
        for entry in entries:
            with copy.open(zipfile.ZipInfo(entry.filename), "w", force_zip64=True) as written:
                for piece in pieces(archive, entry):
                    written.write(piece)
    return target


def _spend_on_weights(path: Path, budget: Budget) -> None:
    with opened(path) as archive, path.open("rb") as file:
        for entry in archive.infolist():
            file.seek(entry.header_offset)
            start = entry.header_offset + _LOCAL_HEADER + sum(_LENGTHS.unpack(file.read(_LOCAL_HEADER)))
            match PurePosixPath(entry.filename).suffix:
                case ".h5":
                    _spend_on_hdf5(_Part(file, start, entry.file_size), budget)
                case ".npz":
                    with zipfile.ZipFile(_Part(file, start, entry.file_size)) as arrays:
                        budget.spend(sum(array.file_size for array in arrays.infolist()))


def _spend_on_hdf5(file: Any, budget: Budget) -> None:
    """HDF5 compresses by itself, and takes no room for what was never written."""
    import h5py

    growth = 0

    def note(_: str, found: Any) -> None:
        nonlocal growth
        if isinstance(found, h5py.Dataset):
            growth += max(0, prod(found.shape or ()) * found.dtype.itemsize - found.id.get_storage_size())

    try:
        with h5py.File(file) as weights:
            weights.visititems(note)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = "the Keras file is damaged or cut short; copy or save the model again"
        raise LoadFailed(reason, detail=str(error)) from error
    budget.spend(growth)


class _Part:
    """``size`` bytes of a file, from ``start``; zipfile itself would read from there again at each step back."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        piece = self._file.read(left if size < 0 else min(size, left))
        self._at += len(piece)
        return piece
