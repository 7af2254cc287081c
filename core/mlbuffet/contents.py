"""Recognizes, by their first bytes, files that are no model whatever their names say."""

import zipfile
from contextlib import suppress
from glob import escape
from pathlib import Path

_EXPORT = "save the model again in a format of an installed runtime (`mlbuffet runtimes` lists them)"


def failed_download(path: Path) -> str | None:
    """Whether a pointer of Git LFS or a web page is in place of a file at, in, or named after ``path``; which."""
    with suppress(OSError):  # others report what cannot be read
        for file in sorted(path.rglob("*") if path.is_dir() else path.parent.glob(f"{escape(path.name)}*")):
            head = _head(file) if file.is_file() else b""
            subject = "it" if file == path else f"its file {file.name!r}"
            if head.startswith(b"version https://git-lfs.github.com/spec/"):
                advice = "fetch the file itself with `git lfs pull`"
                return f"{subject} is the pointer that Git keeps instead of a large file; {advice}"
            if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
                return f"{subject} is a web page, such as that of an error or of a log-in; download the file itself"
    return None


def known_problem(path: Path) -> str | None:
    """Why ``path`` is no model; ``None`` where that is not known."""
    with suppress(OSError):
        if path.is_dir() and not any(each.is_file() for each in path.rglob("*")):
            return "it is a folder without a file; copy it again, or name the folder of the model"
        if path.is_file():
            head = _head(path)
            if not head:
                return "it is empty; copy it again, or save the model again"
            if head.startswith(b"PK\x03\x04"):
                return _of_zip(path)
            if head[0] == 0x80 and (head[1:2] in (b"\x02", b"\x03") or head[1:3] in (b"\x04\x95", b"\x05\x95")):
                return f"it is a pickle of Python, which runs whatever code is in it, and is not loaded; {_EXPORT}"
    return None


def _of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return "it is a zip that is damaged or cut short; copy it again"
    if any(name.endswith("data.pkl") for name in names):
        return f"it is a zip of pickles of Python, which run whatever code is in them, and are not loaded; {_EXPORT}"
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)
