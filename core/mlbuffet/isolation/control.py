"""What a process and its server tell each other besides calls, over a socket of both."""

import os
import socket
from collections.abc import Sequence
from struct import Struct
from threading import Lock
from typing import Any

import msgspec

_LENGTH = Struct("<Q")
_MOST_FILES = 3

encode = msgspec.msgpack.Encoder().encode


class Control:
    """One end of the socket. `send` may be called from several threads, `receive` from one at a time."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._lock = Lock()

    def send(self, kind: str, *content: Any, files: Sequence[int] = ()) -> None:
        """Send a message, with open files. Raises ``OSError`` where the other process has ended."""
        self.send_bytes(encode([kind, *content]), files)

    def send_bytes(self, text: bytes, files: Sequence[int] = ()) -> None:
        """Send ``text`` as a message."""
        with self._lock:
            whole = memoryview(_LENGTH.pack(len(text)) + text)
            done = socket.send_fds(self.end, [whole], list(files)) if files else self.end.send(whole)
            self.end.sendall(whole[done:])

    def receive(self) -> tuple[Any, list[int]] | None:
        """The next message, and the files that came with it; ``None`` where the other process has ended."""
        message = self.receive_bytes()
        return None if message is None else (msgspec.msgpack.decode(message[0]), message[1])

    def receive_bytes(self) -> tuple[bytearray, list[int]] | None:
        """The same as it was sent."""
        try:
            length, files, _, _ = socket.recv_fds(self.end, _LENGTH.size, _MOST_FILES)
            for file in files:
                os.set_inheritable(file, False)  # noqa: FBT003
            while length and len(length) < _LENGTH.size:
                length += self.end.recv(_LENGTH.size - len(length)) or _none()
            if not length:
                return None
            return self._whole(_LENGTH.unpack(length)[0]), files
        except OSError:
            return None

    def close(self) -> None:
        """Close this end."""
        self.end.close()

    def _whole(self, size: int) -> bytearray:
        text = bytearray(size)
        left = memoryview(text)
        while left:
            left = left[self.end.recv_into(left) or _none() :]
        return text


def _none() -> Any:
    raise ConnectionResetError("the socket was closed within a message")
