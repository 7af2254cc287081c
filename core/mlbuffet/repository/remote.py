"""Files and folders at URLs (s3, gs, https...), copied whole before anything is loaded from them."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import msgspec

from mlbuffet.errors import RemoteFailed
from mlbuffet.places import place_of
from mlbuffet.repository.disk import discard

REFRESH_SECONDS = 30.0
_MARKS = ("ETag", "etag", "md5Hash", "generation", "Last-Modified", "LastModified", "updated", "mtime", "created")
"""The details by which file systems show that a file's content has changed."""

_EXTRA = "pip install 'mlbuffet[remote]' (or '.[remote]' in a clone of MLBuffet)"


def default_cache() -> Path:
    """Where copies lie: ``$XDG_CACHE_HOME/mlbuffet``, else ``~/.cache/mlbuffet``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlbuffet"


def source_of(place: str | os.PathLike[str]) -> "Path | RemoteFolder":
    """The path, or the folder at the URL, whose models are to be served."""
    found = place_of(place)
    return found if isinstance(found, Path) else RemoteFolder(found, default_cache())


class RemoteFolder:
    """The folder at a URL, or a single file, and its copy at ``path``; unchanged files are not copied again.

    Processes share the copies, and change them one after the other.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        name = PurePosixPath(url.partition("?")[0].rstrip("/")).name.lstrip(".") or "models"
        self._folder = cache / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.path = self._folder / name
        self._manifest = self._folder / ".manifest.json"
        self._refreshed = 0.0

    def refresh(self) -> None:
        """Make the copy like what is at the URL, unless it was in the last 30 seconds. Raises `RemoteFailed`."""
        if self._refreshed and time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        with self._refreshed_copy():
            pass

    @contextmanager
    def held(self) -> Iterator[Path]:
        """The path of the copy, made like what is at the URL, which nobody changes meanwhile. Raises `RemoteFailed`."""
        with self._refreshed_copy() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # others may read it at the same time
            yield self.path

    @contextmanager
    def _refreshed_copy(self) -> Iterator[int]:
        """A descriptor that holds the lock on the copy, which was made like what is at the URL."""
        lock = -1
        try:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
                fcntl.flock(lock, fcntl.LOCK_SH)
                self._copy(lock)
            except RemoteFailed:
                raise
            except ImportError as error:  # of fsspec, or of what it needs for this kind of URL
                raise RemoteFailed(self.url, f"{error}; {_EXTRA} brings what http, s3 and gs need") from error
            except Exception as error:
                raise RemoteFailed(self.url, f"{type(error).__name__}: {error}") from error
            finally:
                self._refreshed = time.monotonic()
            yield lock
        finally:
            if lock != -1:
                os.close(lock)

    def _copy(self, lock: int) -> None:
        """Copy what has changed, if anything has: only then do those wait who read the copy, or would."""
        system, files, marks = self._listed()
        if self._known() == marks and all((self._folder / name).is_file() for name in files):
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = self._known()
        incoming = self._folder / ".incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        changed = [name for name in files if known.get(name) != marks[name] or not (self._folder / name).is_file()]
        for name in changed:  # all of them, before the first is moved to where it is found
            (incoming / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(files[name], str(incoming / name))
        if self.path.exists() and self.path.is_file() != (self.path.name in files):  # a file became a folder
            discard(self.path)
        for name in changed:
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            (incoming / name).replace(self._folder / name)
        self._remove_others(set(files))
        shutil.rmtree(incoming, ignore_errors=True)
        written = self._folder / ".manifest.new"
        written.write_bytes(msgspec.json.encode(marks))
        written.replace(self._manifest)

    def _known(self) -> dict[str, str]:
        """The marks of the files that were copied."""
        return msgspec.json.decode(self._manifest.read_bytes(), type=dict[str, str]) if self._manifest.exists() else {}

    def _listed(self) -> tuple[Any, dict[str, str], dict[str, str]]:
        """The file system; each file's address, and what changes with its content, by its path in the copy's folder."""
        from fsspec.core import url_to_fs

        system, root = url_to_fs(self.url, use_listings_cache=False)
        files: dict[str, str] = {}
        marks: dict[str, str] = {}
        for address, listed in _files_at(system, root).items():
            below = _path_below(root, address)
            if below is None:
                continue
            name = str(self.path.name / below)
            details = listed if listed.get("size") is not None else system.info(address)
            files[name] = address
            marks[name] = " ".join(str(details[key]) for key in ("size", *_MARKS) if details.get(key) is not None)
        if not files:
            raise RemoteFailed(self.url, "there is no file in it, and it is none")
        return system, files, marks

    def _remove_others(self, names: set[str]) -> None:
        for parent, _, found in os.walk(self.path, topdown=False):
            for name in found:
                path = Path(parent, name)
                if path.relative_to(self._folder).as_posix() not in names:
                    path.unlink()
            if not any(Path(parent).iterdir()) and Path(parent) != self.path:
                Path(parent).rmdir()


def _path_below(root: str, address: str) -> PurePosixPath | None:
    """Where a file of the folder at ``root`` lies in its copy; ``None`` for what is hidden, or leads elsewhere."""
    below = address.removeprefix(root)
    if address.startswith(("http://", "https://")):
        if "?" in below:  # such a link of a listing sorts it
            return None
        below = unquote(below)
    path = PurePosixPath(below.lstrip("/"))
    return None if any(part.startswith(".") for part in path.parts) else path


def _files_at(system: Any, root: str) -> dict[str, dict[str, Any]]:
    """What is known of the files in a folder, or of the file that ``root`` is, by their addresses.

    Raises why nothing is there where the file system knows: a connection that is refused, a status of a web server.
    """
    cause: BaseException | None = None
    try:
        details = system.info(root)
    except FileNotFoundError as error:  # a folder need not be there itself where the files in it are
        cause = _first_cause(error)
    else:
        # a web server has files alone, some of which list others
        if details["type"] == "file" and details.get("mimetype") != "text/html":
            return {root: details}
    found: dict[str, dict[str, Any]] = system.find(root, detail=True)
    if not found and cause is not None:  # fsspec lists what it cannot reach as empty
        raise cause
    return found


def _first_cause(error: BaseException) -> BaseException | None:
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause
