"""Downloads of versions: the only file, or a zip of all files that is written while it is sent."""

import os
import zipfile
from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack
from io import RawIOBase
from pathlib import PurePath
from typing import Any, BinaryIO

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from mlbuffet.repository import Files

_PIECE = 2**20


class Download(StreamingResponse):
    """The response with ``files``; exits ``reading`` when it is sent or the client has disconnected."""

    def __init__(self, files: Files, title: str, reading: AbstractContextManager[Any]) -> None:
        self._closing = ExitStack()
        self._closing.push(reading)
        headers, suffix = {}, ".zip"
        pieces = _zipped(files)
        if len(files.names) == 1:
            file = self._closing.enter_context(files.open(files.names[0]))
            headers, suffix = {"content-length": str(os.fstat(file.fileno()).st_size)}, PurePath(files.names[0]).suffix
            pieces = _content(file)
        headers["content-disposition"] = f'attachment; filename="{title}{suffix}"'
        super().__init__(pieces, headers=headers, media_type="application/octet-stream")
        self._closing.callback(pieces.close)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.body_iterator = iterate_in_threadpool(())
        with self._closing:
            await super().__call__(scope, receive, send)


class _Unseekable(RawIOBase):
    """The file that a zip is written to; it cannot seek, so that its content can be sent while it is written."""

    def __init__(self) -> None:
        self._written = bytearray()

    @override
    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last call."""
        written, self._written = self._written, bytearray()
        return bytes(written)


def _content(file: BinaryIO) -> Generator[bytes, None, None]:
    while piece := file.read(_PIECE):
        yield piece


def _zipped(files: Files) -> Generator[bytes, None, None]:
    """The bytes of the zip; without compression, which is of little use for the weights of a model."""
    sink = _Unseekable()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in files.names:
            with files.open(name) as file, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                for piece in _content(file):
                    entry.write(piece)
                    yield sink.taken()
    yield sink.taken()
