"""A Unix socket to listen on, and the file that it leaves behind."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MODE = 0o660
"""Of the socket's file: the user and the group of the server may connect."""


def listen_at(path: Path) -> socket.socket:
    """A socket bound to ``path``, in place of one whose server has ended. Raises ``OSError``: EADDRINUSE where a server
    listens there, EEXIST where another kind of file is there."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(MODE)  # before it listens, so that nobody else has connected
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def removal_of(listener: socket.socket) -> Callable[[], None]:
    """A function that removes the file of ``listener``, if it has one and that is still its own."""
    if listener.family != socket.AF_UNIX:
        return lambda: None
    path = Path(listener.getsockname()).absolute()
    own = path.stat()

    def remove() -> None:
        with suppress(OSError):
            if os.path.samestat(path.lstat(), own):
                path.unlink()

    return remove


def _remove_stale(path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except TimeoutError:  # it listens, and is busy
                pass
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
