"""Zip files that are not trusted: their entries are checked before any is read, and the unpacked bytes are counted."""

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mlbuffet.errors import LoadFailed

MAX_DEPTH = 32
MAX_NAME_BYTES = 255
MAX_RATIO = 100
RATIO_FREE = 2**24  # unpacked bytes that are allowed whatever the ratio
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""The errors of `zipfile` for files that it cannot read."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the methods that zipfile decompresses in pieces of bounded size
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|(?:clock|conin|conout)\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL
)
"""The names of devices on Windows, with any suffix."""


class Budget:
    """The bytes that may be unpacked from one file of ``size`` bytes, with the archives in it.

    At most ``limit``, and at most `MAX_RATIO` times ``size``, but for the first `RATIO_FREE`.
    """

    def __init__(self, size: int, limit: int) -> None:
        self._limit = limit
        self._plausible = RATIO_FREE + MAX_RATIO * size
        self._spent = 0

    @property
    def is_exceeded(self) -> bool:
        """Whether more than ``limit`` was spent."""
        return self._spent > self._limit

    def spend(self, size: int) -> None:
        """Count ``size`` bytes more, before they are unpacked. Raises `LoadFailed` where they are too many."""
        self._spent += size
        if self.is_exceeded:
            raise LoadFailed(
                f"what is in it has more than {self._limit} bytes, the most that is unpacked; unpack it yourself and "
                "give the folder"
            )
        if self._spent > self._plausible:
            raise LoadFailed(
                f"it would grow more than {MAX_RATIO} times when it is unpacked; if that is right, pack it without "
                "compression"
            )


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file at ``path``. Raises `LoadFailed` where it is damaged, now or while it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGED as error:
        reason = "the zip file is damaged, cut short, or of a kind that is not read; copy or pack it again"
        raise LoadFailed(reason, detail=str(error)) from error


def checked(archive: zipfile.ZipFile, budget: Budget, max_entries: int) -> list[zipfile.ZipInfo]:
    """The entries of ``archive``, if all are safe. Raises `LoadFailed`."""
    entries = archive.infolist()
    if len(entries) > max_entries:
        raise LoadFailed(f"the zip file has {len(entries)} entries; {max_entries} are taken")
    for entry in entries:
        if problem := _problem_of_name(entry) or _problem(entry):
            raise refused(entry, problem)
    check_names(entries)
    budget.spend(sum(entry.file_size for entry in entries))
    return entries


def pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of ``entry``, at most of its declared size. Raises `LoadFailed` where it is less."""
    size = 0
    with archive.open(entry) as source:
        while piece := source.read(2**20):  # zipfile ends at the declared size, and checks the sum (CRC) there
            size += len(piece)
            yield piece
    if size != entry.file_size:
        raise LoadFailed(f"the zip file says that {entry.filename!r} has {entry.file_size} bytes, and it has {size}")


def refused(entry: zipfile.ZipInfo, problem: str) -> LoadFailed:
    """The error of a zip file with ``entry``."""
    shown = entry.filename if len(entry.filename) <= 80 else entry.filename[:80] + "..."
    return LoadFailed(f"the zip file holds {problem}: {shown!r}; pack the model's folder again")


def _problem(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_dir():
        return "something other than a file or a folder, such as a link"
    if entry.flag_bits & (0x1 | 0x40):
        return "an encrypted file"
    if entry.compress_type not in METHODS:
        return "a file that is compressed otherwise than by deflate"
    return None


def _problem_of_name(entry: zipfile.ZipInfo) -> str | None:
    """Why a name is refused: some system would write it to another place."""
    name = entry.filename
    parts = name.removesuffix("/").split("/")
    if entry.orig_filename != name or "\\" in name or any(unicodedata.category(letter) == "Cc" for letter in name):
        return "a backslash or a control character"
    if ":" in name:
        return "a colon, which leads to another drive or stream on Windows"
    if any(part in ("", ".", "..") for part in parts):
        return "an absolute path, or one with '.', '..' or nothing between slashes"
    if any(part.endswith((".", " ")) for part in parts):
        return "a name that ends with a dot or a space, which Windows leaves out"
    if any(_DEVICE.fullmatch(part) for part in parts):
        return "a name that means a device on Windows"
    if len(parts) > MAX_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"a path deeper than {MAX_DEPTH} folders or a name longer than {MAX_NAME_BYTES} bytes"
    return None


def check_names(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raises `LoadFailed` where two entries have one name on some system, or a file is the folder of another."""
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        name = unicodedata.normalize("NFD", entry.filename.rstrip("/")).casefold()
        name = unicodedata.normalize("NFD", name)  # names of one file on some system (Unicode's caseless matching)
        parents = {str(parent) for parent in PurePosixPath(name).parents} - {"."}
        if name in files or (name in folders and not entry.is_dir()) or parents & files:
            raise LoadFailed(
                f"the zip file has {entry.filename!r} twice; capitals and ways to write an accent make no difference"
            )
        (folders if entry.is_dir() else files).add(name)
        folders |= parents
