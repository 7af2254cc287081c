"""A model that computes when it is told to."""

import threading
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl


class Gated:
    """Doubles x once its gate is open; it keeps what it was called with, and in which threads. It fails at 666."""

    def __init__(self) -> None:
        self.gate = Event()
        self.batches: list[list[float]] = []
        self.threads: list[int] = []

    @property
    def seen(self) -> set[float]:
        """Every value of every call."""
        return {value for batch in self.batches for value in batch}

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".gated"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> object:
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        x = TensorSpec("x", np.float32, (None,))
        return Signatures({"serving_default": Signature([x], [TensorSpec("y", np.float32, (None,))])})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        self.batches.append(inputs["x"].tolist())
        self.threads.append(threading.get_ident())
        assert self.gate.wait(20)
        if 666 in inputs["x"]:
            raise ValueError("a bad row")
        return {"y": inputs["x"] * 2}


def runtimes_with(plugin: Gated) -> Runtimes:
    """The runtimes that have it alone."""
    runtimes = Runtimes()
    runtimes.register(plugin, name="gated")
    return runtimes
