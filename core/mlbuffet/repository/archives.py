"""Zip files from strangers, each entry checked before it is written, and counted while it is."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from mlbuffet.errors import UploadRefused, UploadTooLarge
from mlbuffet.repository.disk import Disk

MAX_FILES = 10_000
MAX_DEPTH = 32
MAX_NAME_BYTES = 255
MAX_RATIO = 100
RATIO_FREE = 2**24
"""So many bytes may come of any archive; beyond them it may grow `MAX_RATIO` times."""
_PIECE = 2**20
_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40


def unpack(archive: Path, folder: Path, limit: int, disk: Disk) -> None:
    """Write what is in the zip file ``archive`` to the new ``folder``, of at most ``limit`` bytes.

    Raises `UploadRefused` or `UploadTooLarge`: nothing is mended.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(entries, limit, RATIO_FREE + MAX_RATIO * archive.stat().st_size)
            disk.make_folder(folder)
            for entry in entries:
                _write(opened, entry, folder, disk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        raise UploadRefused("the zip file is damaged, or of a kind that is not read") from None


def _check(entries: list[zipfile.ZipInfo], limit: int, plausible: int) -> None:
    if len(entries) > MAX_FILES:
        raise UploadRefused(f"the zip file has {len(entries)} entries; {MAX_FILES} are taken")
    for entry in entries:
        _check_entry(entry)
    _check_names(entries)
    size = sum(entry.file_size for entry in entries)
    if size > limit:
        raise UploadTooLarge(limit)
    if size > plausible:
        raise UploadRefused(
            f"the zip file would grow more than {MAX_RATIO} times; if that is right, zip it without compression"
        )


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, disk: Disk) -> None:
    target = folder / entry.filename
    _make_folders(folder, target if entry.is_dir() else target.parent, disk)
    if entry.is_dir():
        return
    size = 0
    with archive.open(entry) as source, disk.create(target) as file:
        while piece := source.read(_PIECE):  # zipfile ends at the size that was told, and checks the sum (CRC) there
            size += len(piece)
            disk.write(file, piece)
    if size != entry.file_size:
        raise UploadRefused(f"the zip file says that {entry.filename!r} has {entry.file_size} bytes, and it has {size}")


def _make_folders(top: Path, folder: Path, disk: Disk) -> None:
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(top) and not one.is_dir()]
    for one in reversed(missing):
        disk.make_folder(one)


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        name = entry.filename.rstrip("/").casefold()
        parents = {str(parent) for parent in PurePosixPath(name).parents} - {"."}
        if name in files or (name in folders and not entry.is_dir()) or parents & files:
            raise UploadRefused(f"the zip file has {entry.filename!r} twice; capitals make no difference")
        (folders if entry.is_dir() else files).add(name)
        folders |= parents


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    problem = ""
    if entry.orig_filename != name or "\\" in name or any(ord(letter) < 32 for letter in name):
        problem = "a backslash or a control character"
    elif any(part in ("", ".", "..") for part in parts):
        problem = "an absolute path, or one with '.', '..' or nothing between slashes"
    elif any(part.startswith(".") for part in parts):
        problem = "a name that begins with a dot, which is not part of a model; leave such files out"
    elif len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        problem = f"a path deeper than {MAX_DEPTH} folders or a name longer than {MAX_NAME_BYTES} bytes"
    elif kind not in _REGULAR or (kind == stat.S_IFDIR) > entry.is_dir():
        problem = "something other than a file or a folder, such as a link"
    elif entry.flag_bits & _ENCRYPTED:
        problem = "an encrypted file"
    elif entry.compress_type not in _METHODS:
        problem = "a file that is compressed otherwise than by deflate"
    if problem:
        shown = name if len(name) <= 80 else name[:80] + "..."
        raise UploadRefused(f"the zip file holds {problem}: {shown!r}")
