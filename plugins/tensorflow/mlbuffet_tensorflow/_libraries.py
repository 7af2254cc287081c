"""TensorFlow's shared libraries, loaded while other threads go on."""

import ctypes
import importlib.util
import os
from pathlib import Path

_LARGE = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2", "python/_pywrap_tensorflow_internal.so")


def load_libraries() -> None:
    """Load the large ones before they are imported.

    Python holds its lock while it loads an extension module, half a second for these; a function called through ctypes
    does not. Where a library has another name, as on other systems, importing TensorFlow loads it as ever.
    """
    found = importlib.util.find_spec("tensorflow")
    dlopen = getattr(ctypes.CDLL(None), "dlopen", None) if os.name == "posix" else None
    if found is None or found.origin is None or dlopen is None:
        return
    dlopen.restype = ctypes.c_void_p
    dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    for name in _LARGE:
        dlopen(os.fsencode(Path(found.origin).parent / name), os.RTLD_NOW)
