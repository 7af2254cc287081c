"""Runtimes small enough to be read at a glance, and models of theirs."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlbuffet import Runtimes, Signature, Signatures, Tensors, TensorSpec, hookimpl
from mlbuffet.repository import ModelRepository, Sources


class HalfPlusTwo:
    """TensorFlow Serving's example model: y = x / 2 + 2, from a file that says ``half``; it fails at 666."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        """A .half file."""
        return path.suffix == ".half" and path.is_file()

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        if path.read_text() != "half":
            raise ValueError(f"cannot read {path}")
        return 2.0

    @hookimpl
    def signature(self, model: float) -> Signatures:
        x, y, z = (TensorSpec(name, np.float32, (None,)) for name in "xyz")
        return Signatures({"serving_default": Signature([x], [y]), "both": Signature([x], [y, z])})

    @hookimpl
    def predict(self, model: float, signature: str, inputs: Tensors) -> Tensors:
        if 666 in inputs["x"]:
            raise ValueError("a secret of the inside")
        y = inputs["x"] / 2 + model
        return {"y": y} if signature == "serving_default" else {"y": y, "z": inputs["x"] * 2}


class Echo:
    """Gives back its input ``x``; a signature for each dtype that its file names, and no default."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".echo"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> list[str]:
        return path.read_text().split()

    @hookimpl
    def signature(self, model: list[str]) -> Signatures:
        specs = {name: [TensorSpec("x", name, None)] for name in model}
        return Signatures({name: Signature(spec, spec) for name, spec in specs.items()}, default=None)

    @hookimpl
    def predict(self, model: list[str], signature: str, inputs: Tensors) -> Tensors:
        return {"x": inputs["x"].copy()}


class Both(HalfPlusTwo):
    """Another runtime for all files that `HalfPlusTwo` and `Echo` accept."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix in (".half", ".echo")

    @hookimpl
    def explain(self, path: Path) -> str | None:
        return "it holds weights alone" if path.suffix == ".weights" else None


class Sleep:
    """Takes as many seconds as its input ``x`` says, and gives it back."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".sleep"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> None: ...

    @hookimpl
    def signature(self, model: None) -> Signatures:
        x = TensorSpec("x", np.float32, ())
        return Signatures({"serving_default": Signature([x], [x])})

    @hookimpl
    def predict(self, model: None, signature: str, inputs: Tensors) -> Tensors:
        time.sleep(float(inputs["x"]))
        return {"x": inputs["x"].copy()}


class ProcessId:
    """Takes as many seconds as its input ``x`` says, and gives the process that it runs in."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".process"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> None: ...

    @hookimpl
    def signature(self, model: None) -> Signatures:
        pid = TensorSpec("pid", np.int64, ())
        return Signatures({"serving_default": Signature([TensorSpec("x", np.float32, ())], [pid])})

    @hookimpl
    def predict(self, model: None, signature: str, inputs: Tensors) -> Tensors:
        time.sleep(float(inputs["x"]))
        return {"pid": np.array(os.getpid())}


class OfExamples:
    """A classifier and a regressor of serialized examples, by how many bytes each has."""

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return path.suffix == ".examples"

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> None: ...

    @hookimpl
    def signature(self, model: None) -> Signatures:
        inputs = [TensorSpec("inputs", object, (None,))]
        classes = [TensorSpec("classes", object, (None, 2)), TensorSpec("scores", np.float32, (None, 2))]
        values = [TensorSpec("outputs", np.float32, (None, 1))]
        return Signatures({"serving_default": Signature(inputs, classes), "regress": Signature(inputs, values)})

    @hookimpl
    def predict(self, model: None, signature: str, inputs: Tensors) -> Tensors:
        sizes = np.array([[len(one)] for one in inputs["inputs"]], np.float32)
        if signature == "regress":
            return {"outputs": sizes}
        return {"classes": np.array([[b"a", b"b"]] * len(sizes), object), "scores": np.hstack([sizes, -sizes])}


def small_runtimes() -> Runtimes:
    """All of them, registered, and none that is installed."""
    runtimes = Runtimes()
    runtimes.register(HalfPlusTwo, name="half")
    runtimes.register(Echo, name="echo")
    runtimes.register(Sleep, name="sleep")
    return runtimes


def write_models(root: Path, models: Mapping[str, str]) -> Path:
    """``root`` with files of that text in it; the text is what the runtimes above read."""
    for name, text in models.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def repository_of(path: Path, runtimes: Runtimes) -> ModelRepository:
    """The models at ``path``, not loaded yet."""
    repository = ModelRepository(runtimes)
    repository.update(Sources([path], runtimes).find())
    return repository
