"""A version that is being uploaded: its file as it arrives, and its folder before it is published."""

import re
from pathlib import Path
from typing import BinaryIO

from mlbuffet.archives import Budget
from mlbuffet.errors import LoadFailed, UploadRefused, UploadTooLarge
from mlbuffet.repository import provenance
from mlbuffet.repository.archives import unpack, weigh
from mlbuffet.repository.disk import Disk, discard, storing
from mlbuffet.repository.provenance import Provenance

STEM = "model"
ARCHIVE = ".zip"
_SUFFIX = re.compile(r"\.[A-Za-z0-9_]{1,16}")


class Upload:
    """A place for one version in ``folder``, which is made; nothing of it is seen by anyone before it is published."""

    def __init__(self, folder: Path, limit: int, disk: Disk) -> None:
        self._folder = folder
        self._limit = limit
        self._disk = disk
        disk.make_folder(folder)
        self._received = folder / "received"
        self._file: BinaryIO = disk.create(self._received)
        self._size = 0
        self.content = folder / "content"
        """The folder of the version, once it is `unfold`-ed."""

    def write(self, data: bytes) -> None:
        """Take more of the file. Raises `UploadTooLarge` and `StorageFailed`."""
        self._size += len(data)
        if self._size > self._limit:
            raise UploadTooLarge(self._limit)
        with storing():
            self._disk.write(self._file, data)

    def unfold(self, told: Provenance) -> None:
        """Make the version's folder of the file, which is its only one or a zip of all. Raises `UploadRefused`."""
        self._file.close()
        if not self._size:
            raise UploadRefused("the upload is empty")
        budget = Budget(self._size, self._limit)
        try:
            self._fill(Path(told.file).suffix.lower(), budget)
            for file in self.content.rglob("*"):
                if file.is_file():
                    weigh(file, budget, self._folder / "nested", self._disk)
        except LoadFailed as error:
            raise UploadTooLarge(self._limit) if budget.is_exceeded else UploadRefused(error.reason) from error
        self._disk.write_file(self.content / provenance.FILE_NAME, told.encoded())

    def _fill(self, suffix: str, budget: Budget) -> None:
        if suffix == ARCHIVE:
            unpack(self._received, self.content, budget, self._disk)
            match list(self.content.iterdir()):
                case [only] if only.is_dir():  # the folder was zipped, and not what is in it
                    self.content = only
        else:
            self._disk.make_folder(self.content)
            name = STEM + (suffix if _SUFFIX.fullmatch(suffix) else "")
            self._disk.rename(self._received, self.content / name)

    def discard(self) -> None:
        """Remove what was not published."""
        self._file.close()
        discard(self._folder)
