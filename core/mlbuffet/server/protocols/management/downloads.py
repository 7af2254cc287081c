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
    """The files that ``reading`` yields; it is exited when they are sent or the client has disconnected.

    Creating it reads files. Raises ``FileNotFoundError`` where the version was removed.
    """

    def __init__(self, reading: AbstractContextManager[Files], title: str) -> None:
        with ExitStack() as stack:
            files = stack.enter_context(reading)
            headers, suffix, pieces = {}, ".zip", _zipped(files)
            if len(files.names) == 1:
                file = stack.enter_context(files.open(files.names[0]))
                headers["content-length"] = str(os.fstat(file.fileno()).st_size)
                suffix, pieces = PurePath(files.names[0]).suffix, _content(file)
            headers["content-disposition"] = f'attachment; filename="{title}{suffix}"'
            super().__init__(pieces, headers=headers, media_type="application/octet-stream")
            stack.callback(pieces.close)
            self._closing = stack.pop_all()

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
