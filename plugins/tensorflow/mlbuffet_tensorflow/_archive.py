"""A zip unpacked, after a look at every entry."""

import shutil
import stat
import zlib
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from mlbuffet.errors import LoadFailed
from mlbuffet_tensorflow._artifact import models_in

MAX_BYTES = 32 * 2**30
MAX_ENTRIES = 100_000
_ENCRYPTED = 1


def unpack(path: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack the zip at ``path`` into ``folder``; the model that it holds. Raises `LoadFailed`."""
    try:
        with ZipFile(path) as archive:
            entries = _checked(archive.infolist(), max_bytes)
            for entry in entries:
                _write(archive, entry, folder)
    except (BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise LoadFailed("the zip is damaged or cut short; copy or pack it again", detail=str(error)) from error
    return folder / _model([entry.filename for entry in entries])


def _checked(entries: list[ZipInfo], max_bytes: int) -> list[ZipInfo]:
    """The files among ``entries``, if there is nothing to fear from any."""
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or size > max_bytes:
        raise LoadFailed(
            f"the zip holds {len(entries)} files of {size} bytes; at most {MAX_ENTRIES} files of {max_bytes} bytes are "
            "unpacked; unpack it yourself and give the folder"
        )
    for entry in entries:
        if problem := _problem(entry):
            raise LoadFailed(f"the zip has an entry that {problem}, and is not unpacked; pack the model's folder again")
    return [entry for entry in entries if not entry.is_dir()]


def _problem(entry: ZipInfo) -> str | None:
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.orig_filename or ":" in entry.filename.split("/")[0]:
        return "leads out of its folder"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or another special file"
    return "is encrypted" if entry.flag_bits & _ENCRYPTED else None


def _write(archive: ZipFile, entry: ZipInfo, folder: Path) -> None:
    """One file; its size is held to what the zip declares, which was checked."""
    target = folder / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as written:
        shutil.copyfileobj(source, written)


def _model(names: list[str]) -> PurePosixPath:
    match models_in(names):
        case [model]:
            return model
        case []:
            raise LoadFailed("the zip holds no model: no saved_model.pb, .keras or .h5 file")
        case several:
            raise LoadFailed(f"the zip holds several models ({', '.join(map(str, several))}); pack each by itself")
