"""A runtime that writes wherever a library can while it predicts."""

import ctypes
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from mlbuffet import Signature, Signatures, Tensors, TensorSpec, hookimpl


class Noisy:
    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".noisy"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        if path.read_text() == "loud":  # PyDLL does not let go of the GIL
            lines = (b"x" * 119 + b"\n") * 20_000
            ctypes.PyDLL(None).write(2, lines, len(lines))
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x = TensorSpec("x", np.float32, None)
        return Signatures({"serving_default": Signature([x], [x])})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        print("printed", flush=True)
        print("to stderr", file=sys.stderr)
        for number in (1, 2):
            os.write(number, f"to descriptor {number}\n".encode())
        warnings.warn("a warning of a library", stacklevel=1)
        thread = Thread(target=fail)
        thread.start()
        thread.join()
        return {"x": inputs["x"].copy()}


def fail() -> None:
    raise RuntimeError("a thread fails")
