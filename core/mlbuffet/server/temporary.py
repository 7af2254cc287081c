"""A folder for all temporary files of a server, which goes when the server ends."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType

from mlbuffet.repository.disk import discard
from mlbuffet.repository.workshop import locked

PREFIX = "mlbuffet-serve-"


@contextmanager
def own_temporary_folder() -> Iterator[Callable[[], None]]:
    """Let ``TMPDIR`` lead to a new folder, for this process, its libraries and its children; gives what removes it.

    It is removed at the end, also at SIGTERM where nobody else handles that. The process holds a lock on it: what one
    that was killed has left behind, the next one removes. Where no folder can be made, there is none.
    """
    try:
        folder, descriptor = _made(Path(tempfile.gettempdir()))
    except OSError:
        yield lambda: None
        return
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        with _before_sigterm(lambda: discard(folder)):
            yield lambda: discard(folder)
    finally:
        _restore(*before)
        discard(folder)
        os.close(descriptor)


def _made(parent: Path) -> tuple[Path, int]:
    _sweep(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another process swept it before it was locked
            if (descriptor := locked(folder)) is not None:
                if folder.exists():
                    return folder, descriptor
                os.close(descriptor)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process sweeps too
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            if (descriptor := locked(folder)) is not None:
                discard(folder)
                os.close(descriptor)


def _restore(variable: str | None, default: str | None) -> None:
    tempfile.tempdir = default
    if variable is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = variable


@contextmanager
def _before_sigterm(clean_up: Callable[[], None]) -> Iterator[None]:
    """Clean up before the process ends by SIGTERM, which runs nothing else of Python."""

    def end(number: int, _: FrameType | None) -> None:
        clean_up()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    if current_thread() is not main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
