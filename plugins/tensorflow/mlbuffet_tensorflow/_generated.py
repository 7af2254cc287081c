"""The files that autograph writes, removed as soon as nothing needs them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "__autograph_generated_file"


@contextmanager
def without_generated_files() -> Iterator[None]:
    """Saving a model makes TensorFlow rewrite functions, each as a module in the temporary folder.

    Once it is imported its files are of no use. TensorFlow removes the source where the interpreter ends in order, as
    a server does not, and the compiled file never.
    """
    before = set(sys.modules.copy())
    try:
        yield
    finally:
        for name, module in sys.modules.copy().items():
            if name.startswith(_PREFIX) and name not in before and module.__spec__ is not None:
                _remove(Path(str(module.__spec__.origin)), Path(str(module.__spec__.cached)))


def _remove(source: Path, compiled: Path) -> None:
    source.unlink(missing_ok=True)
    compiled.unlink(missing_ok=True)
    with suppress(OSError):  # others may be in it, or nothing was compiled
        compiled.parent.rmdir()
