"""A runtime whose models end the process that loads or calls them, as their files say: ``abort in load``."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import Signature, Signatures, Tensors, TensorSpec, hookimpl


def end(how: str) -> None:
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:  # as the processor does it: the thread itself gets the signal
            signal.pthread_kill(threading.get_ident(), signal.Signals[how])


class Crashing:
    """Gives back x, after so many seconds, where it is not -1 or -2."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".crash"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[str]:
        how, _, when = path.read_text().partition(" in ")
        if when == "load":
            end(how)
        return [how, when]

    @hookimpl
    def signature(self, model: list[str]) -> Signatures:
        x = TensorSpec("x", np.float32, (None,))
        return Signatures({"serving_default": Signature([x], [x])})

    @hookimpl
    def predict(self, model: list[str], signature: str, inputs: Tensors) -> Tensors:
        if (inputs["x"] == -2).any():  # some thread gets it, while this one may go on
            os.kill(os.getpid(), signal.SIGBUS)
        elif (inputs["x"] == -1).any():
            end(model[0])
        time.sleep(max(0.0, float(inputs["x"].sum())))
        return {"x": inputs["x"].copy()}

    @hookimpl
    def unload(self, model: list[str]) -> None:
        if model[1] == "unload":
            end(model[0])
