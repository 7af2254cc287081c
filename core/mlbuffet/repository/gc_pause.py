"""Python's garbage collector, paused while models are loaded."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

FRAMEWORK_MODULES = 200
"""An import of so many modules is one whose objects stay for good."""


class GcPause:
    """A full collection goes over every object while no other thread runs: 300 ms, once TensorFlow is there."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loads = 0
        self._was_enabled = False

    @contextmanager
    def during_load(self) -> Iterator[None]:
        """No collection meanwhile; what the import of a framework leaves is exempt from later ones."""
        before = len(sys.modules)
        with self._lock:
            if not self._loads:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._loads += 1
        try:
            yield
        finally:
            if len(sys.modules) - before >= FRAMEWORK_MODULES:
                gc.freeze()
            with self._lock:
                self._loads -= 1
                if not self._loads and self._was_enabled:
                    gc.enable()
