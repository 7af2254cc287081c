"""A version as a client gets it: its only file, or all of them as a zip that is made while it is sent."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from io import RawIOBase
from pathlib import PurePath
from typing import Any, BinaryIO

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mlbuffet.repository import Files

_PIECE = 2**20


class Download(StreamingResponse):
    """The files that ``reading`` gives, which is left when the answer is sent or the client gone."""

    def __init__(self, files: Files, title: str, reading: AbstractContextManager[Any]) -> None:
        self._reading = reading
        if len(files.names) == 1:
            suffix = PurePath(files.names[0]).suffix
            file = files.open(files.names[0])
            headers = {"content-length": str(os.fstat(file.fileno()).st_size)}
            super().__init__(_content(file), headers=headers, media_type="application/octet-stream")
        else:
            suffix = ".zip"
            super().__init__(_zipped(files), media_type="application/octet-stream")
        self.headers["content-disposition"] = f'attachment; filename="{title}{suffix}"'

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reading.__exit__(None, None, None)


class _Outlet(RawIOBase):
    """What a zip file is written to; it cannot go back, so that nothing has to be kept."""

    def __init__(self) -> None:
        self._written = bytearray()

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        written = bytes(self._written)
        self._written.clear()
        return written


def _content(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _zipped(files: Files) -> Iterator[bytes]:
    """The bytes of the zip; without compression, which is of little use for the weights of a model."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for name in files.names:
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for piece in _content(files.open(name)):
                    entry.write(piece)
                    yield outlet.taken()
    yield outlet.taken()
