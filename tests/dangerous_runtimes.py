"""Runtimes whose artifacts say what is to become of the process that loads them, and a dangerous pickle."""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import LoadFailed, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.hookspecs import Risk


class Runs:
    """Unpickled, it runs a program."""

    def __reduce__(self) -> Any:
        return os.system, ("id",)


RUNS_A_PROGRAM = pickle.dumps(Runs())


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


class Knowing(Dangerous):
    """Says what its artifacts do, unless the options allow it; reading one that says ``torn`` fails."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".danger" or (path / "x.danger").exists()

    @hookimpl
    def risks(self, path: Path, options: dict[str, Any]) -> list[Risk]:
        text = path.read_text()
        if text == "torn":
            raise ValueError("a secret")
        risks = [Risk("network", "it calls home"), Risk("code", "it runs a program")]
        return [] if text == "fine" or "trusted" in options else risks


class Plain(Dangerous):
    """Says nothing of what its artifacts do."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return (path / "x.danger").exists()
