"""Folders that are not on this machine (s3, gs, https...), copied whole before anything is loaded from them."""

import hashlib
import logging
import os
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from mlbuffet.errors import RemoteFailed

REFRESH_SECONDS = 30.0
_MARKS = ("ETag", "etag", "md5Hash", "generation", "Last-Modified", "LastModified", "updated", "mtime", "created")
"""The details by which file systems show that a file's content has changed."""

logger = logging.getLogger(__name__)


def is_remote(place: str) -> bool:
    """Whether ``place`` is a URL."""
    return "://" in place


def default_cache() -> Path:
    """Where copies lie: ``$XDG_CACHE_HOME/mlbuffet``, else ``~/.cache/mlbuffet``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlbuffet"


class RemoteFolder:
    """A folder at a URL, and its copy at ``path``; unchanged files are not copied again, also by another process."""

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        name = PurePosixPath(url.rstrip("/")).name.partition("?")[0] or "models"
        self._folder = cache / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.path = self._folder / name
        self._refreshed = 0.0

    def refresh(self) -> None:
        """Make the copy like the folder, unless it was in the last 30 seconds. Raises `RemoteFailed`."""
        if self._refreshed and time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        try:
            self._copy()
        except RemoteFailed:
            raise
        except Exception as error:
            raise RemoteFailed(self.url, f"{type(error).__name__}: {error}") from error
        finally:
            self._refreshed = time.monotonic()

    def _copy(self) -> None:
        system, files, marks = self._listed()
        manifest = self._folder / "manifest.json"
        known = msgspec.json.decode(manifest.read_bytes(), type=dict[str, str]) if manifest.exists() else {}
        incoming = self._folder / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        changed = [name for name in files if known.get(name) != marks[name] or not (self.path / name).is_file()]
        for name in changed:  # all of them, before the first is moved to where it is found
            (incoming / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(files[name], str(incoming / name))
        self.path.mkdir(parents=True, exist_ok=True)
        for name in changed:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (incoming / name).replace(self.path / name)
        self._remove_others(set(files))
        shutil.rmtree(incoming, ignore_errors=True)
        written = manifest.with_name("manifest.new")
        written.write_bytes(msgspec.json.encode(marks))
        written.replace(manifest)

    def _listed(self) -> tuple[Any, dict[str, str], dict[str, str]]:
        """The file system; each file's address, and what changes with its content, by its path below the folder."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise RemoteFailed(self.url, "install mlbuffet[remote] to serve models from elsewhere") from None
        system, root = url_to_fs(self.url, use_listings_cache=False)
        files: dict[str, str] = {}
        marks: dict[str, str] = {}
        for address, listed in system.find(root, detail=True).items():
            below = PurePosixPath(address.removeprefix(root).lstrip("/"))
            if ".." in below.parts or any(part.startswith(".") for part in below.parts) or not below.parts:
                continue
            details = listed if listed.get("size") is not None else system.info(address)
            files[str(below)] = address
            marks[str(below)] = " ".join(str(details[key]) for key in ("size", *_MARKS) if details.get(key) is not None)
        if not files:
            raise RemoteFailed(self.url, "there is no file in it")
        return system, files, marks

    def _remove_others(self, names: set[str]) -> None:
        for parent, _, found in os.walk(self.path, topdown=False):
            for name in found:
                path = Path(parent, name)
                if path.relative_to(self.path).as_posix() not in names:
                    path.unlink()
            if not any(Path(parent).iterdir()) and Path(parent) != self.path:
                Path(parent).rmdir()
