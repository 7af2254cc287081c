"""The plugin under test, with what the rules share: settings, fixtures and calls of its model."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.risks import Capability
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.tensors import Signature, Tensors
from mlbuffet.testing import child
from mlbuffet.testing.neighbours import context_of
from mlbuffet.testing.samples import Artifact

NAME = "plugin"
"""What the plugin is called while it is tested."""

Change = Callable[[NDArray[Any]], NDArray[Any]]


class Subject:
    """What a group of rules is about; `RuntimeConformance` has all groups."""

    may_import: ClassVar[frozenset[str]] = frozenset()
    """Top-level modules, besides mlbuffet's own, that come with the import of the plugin: light ones only."""
    rtol: ClassVar[float] = 1e-5
    """Relative tolerance of floating point outputs; everything else is compared exactly."""
    atol: ClassVar[float] = 1e-6
    """Absolute tolerance of floating point outputs."""
    rows: ClassVar[bool] = True
    """Whether a first axis that every tensor declares free counts rows that do not influence each other."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What the artifact does besides computing, which ``risks`` names."""
    leak_rounds: ClassVar[int] = 20
    """How often the artifact is loaded and closed between two measurements."""
    leak_bytes: ClassVar[int] = 8 * 2**20
    """How much the process may grow in that many rounds."""
    patience: ClassVar[float] = 120.0
    """Seconds after which threads, or a child process, count as hanging."""

    @pytest.fixture
    def runtimes(self, plugin: object) -> Runtimes:
        """The plugin alone, registered as a program registers it."""
        registry = Runtimes()
        registry.register(plugin, name=NAME)
        return registry

    @pytest.fixture
    def runtime(self, runtimes: Runtimes) -> Runtime:
        """The plugin as a registered runtime."""
        assert NAME in runtimes, "the plugin implements no hook itself: decorate its methods with @mlbuffet.hookimpl"
        return runtimes[NAME]

    @pytest.fixture
    def context(self, runtimes: Runtimes, artifact: Artifact) -> LoadContext:
        """What the hook ``load`` is given, with the models beside the artifact."""
        return context_of(artifact.beside, runtimes)

    @pytest.fixture
    def loaded_model(self, runtimes: Runtimes, artifact: Artifact) -> Iterator[Model]:
        """The loaded artifact."""
        with load(runtimes, artifact) as model:
            yield model

    def in_fresh_interpreter(self, program: str, plugin: object, task: Mapping[str, Any], *, report: Path) -> list[Any]:
        """The facts that ``program`` of `mlbuffet.testing.child` reports; the test fails where it crashes or hangs."""
        tests = getattr(sys.modules.get(type(self).__module__), "__file__", None)
        return child.run(program, plugin, {**task, "tests": tests}, report=report, patience=self.patience)

    def check(self, answer: Tensors, expected: Tensors, what: str) -> None:
        """Fail unless ``answer`` is ``expected``, within the tolerances."""
        assert answer.keys() == expected.keys(), f"{what} gave outputs {sorted(answer)}, expected {sorted(expected)}"
        for name, array in answer.items():
            assert self._close(array, expected[name]), f"{what} gave {name!r} =\n{array}\nexpected\n{expected[name]}"

    def _close(self, array: NDArray[Any], expected: NDArray[Any]) -> bool:
        if array.shape != expected.shape:
            return False
        if array.dtype.kind == "V":  # the small types of ml_dtypes, which numpy's allclose does not know
            array, expected = array.astype(np.float64), expected.astype(np.float64)
        if array.dtype.kind in "fc":
            return np.allclose(array, expected, rtol=self.rtol, atol=self.atol, equal_nan=True)
        return np.array_equal(array, expected)


def load(runtimes: Runtimes, artifact: Artifact) -> Model:
    """The artifact as a program loads it."""
    context = context_of(artifact.beside, runtimes)
    return load_artifact(artifact.path, runtimes, NAME, artifact.options, context=context)


def predict(model: Model, artifact: Artifact, inputs: Tensors | None = None) -> dict[str, NDArray[Any]]:
    """The outputs for the sample, or for other ``inputs`` of its signature."""
    return model.predict(artifact.inputs if inputs is None else inputs, signature=artifact.signature)


def each(change: Change, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """All tensors, changed."""
    return {name: change(array) for name, array in tensors.items()}


def declared(model: Model, artifact: Artifact) -> Signature:
    """The signature of the sample."""
    return model.signatures[model.signatures.resolve(artifact.signature)]
