"""A folder for all temporary files of a server, removed when the server ends."""

import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType

from mlbuffet.repository.disk import discard
from mlbuffet.repository.staging import locked, sweep
from mlbuffet.server.processes.orphans import end_orphans

PREFIX = "mlbuffet-serve-"


class TemporaryFolder:
    """A new folder in ``parent``, which no other user can enter. Creating it raises `OSError`.

    The process locks it as long as it lives: the folder of a process that was killed is removed by the next one.
    """

    def __init__(self, parent: Path) -> None:
        sweep(filter(_is_own, parent.glob(f"{PREFIX}*")), before=end_orphans)
        self._descriptor: int | None = None
        while self._descriptor is None:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._descriptor = locked(self.path)  # unless another process swept it before

    def remove(self) -> None:
        """Remove it with its content; and the parent folder of a supervisor that was killed, if that is empty."""
        discard(self.path)
        if self.path.parent.name.startswith(PREFIX):
            with suppress(OSError):
                if (descriptor := locked(self.path.parent)) is not None:
                    self.path.parent.rmdir()
                    os.close(descriptor)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Set ``TMPDIR`` to it, for this process, its libraries and its children; remove it at the end.

        At SIGTERM too, unless that has another handler.
        """
        before = os.environ.get("TMPDIR"), tempfile.tempdir
        _set_tmpdir(str(self.path), str(self.path))
        try:
            with _before_sigterm(self.remove):
                yield
        finally:
            _set_tmpdir(*before)
            self.remove()
            if self._descriptor is not None:
                os.close(self._descriptor)


@contextmanager
def own_temporary_folder() -> Iterator[Callable[[], None]]:
    """A `TemporaryFolder` that is `kept`, where one can be made; yields a function that removes it early."""
    try:
        folder = TemporaryFolder(Path(tempfile.gettempdir()))
    except OSError:
        yield lambda: None
        return
    with folder.kept():
        yield folder.remove


def _is_own(folder: Path) -> bool:
    with suppress(FileNotFoundError):  # another process sweeps too
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return False


def _set_tmpdir(variable: str | None, default: str | None) -> None:
    tempfile.tempdir = default
    if variable is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = variable


@contextmanager
def _before_sigterm(clean_up: Callable[[], None]) -> Iterator[None]:
    """Call ``clean_up`` at SIGTERM, which ends the process without running other Python code."""

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
