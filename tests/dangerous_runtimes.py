"""A runtime whose artifacts say what is to become of the process that loads them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import LoadFailed, Signature, Signatures, Tensors, TensorSpec, hookimpl


class Dangerous:
    """Gives back x; but a file that says ``crash``, ``hang``, ``exit`` or ``refuse`` does so when it is loaded.

    With ``leave`` before, it leaves a temporary file; ``start`` starts a process that goes on doing so.
    """

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".danger"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> str:
        text = path.read_text()
        if text.startswith("leave"):
            Path(tempfile.mkdtemp(), "left").write_text("left")
        match text.removeprefix("leave").strip():
            case "start":
                program = "import os, tempfile\nwhile True: os.close(tempfile.mkstemp()[0])"
                subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            case "crash":
                os.abort()
            case "hang":
                time.sleep(600)
            case "exit":
                os._exit(0)
            case "refuse":
                raise LoadFailed("it does not want to", detail=f"a secret of {path}")
            case "refuse in the server" if "mlbuffet.server" in sys.modules:
                raise LoadFailed("it does not want to")
        return text

    @hookimpl
    def signature(self, model: str) -> Signatures:
        x = TensorSpec("x", np.float32, (None,))
        return Signatures({"serving_default": Signature([x], [x])})

    @hookimpl
    def predict(self, model: str, signature: str, inputs: Tensors) -> Tensors:
        return {"x": inputs["x"].copy()}
