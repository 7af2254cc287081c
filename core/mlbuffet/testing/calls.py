"""What calls do to the memory of others, and to each other."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlbuffet.model import Model
from mlbuffet.testing.samples import LAYOUTS, Artifact, flipped
from mlbuffet.testing.subject import Subject, each, predict
from mlbuffet.testing.threads import in_threads


class Calls(Subject):
    """The rules of ``predict`` as a call among others."""

    def test_inputs_are_not_changed(self, loaded_model: Model, artifact: Artifact) -> None:
        """``predict`` leaves its inputs as they were: they belong to the caller."""
        inputs = each(np.copy, artifact.inputs)
        predict(loaded_model, artifact, inputs)
        for name, before in artifact.inputs.items():
            assert _identical(inputs[name], before), f"predict changed input {name!r}; compute into a new array"

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_memory_layout_does_not_matter(self, loaded_model: Model, artifact: Artifact, layout: str) -> None:
        """Inputs that are read-only, transposed, backwards, strided or unaligned give the same outputs.

        The server does not copy what it receives; a plugin copies where its framework needs plain memory.
        """
        answer = predict(loaded_model, artifact, each(LAYOUTS[layout], artifact.inputs))
        self.check(answer, artifact.outputs, f"the sample in {layout} arrays")

    def test_outputs_are_fresh(self, loaded_model: Model, artifact: Artifact) -> None:
        """Outputs share no memory with the inputs or with the next outputs, and do not change afterwards."""
        inputs = each(np.copy, artifact.inputs)
        first = predict(loaded_model, artifact, inputs)
        kept = each(np.copy, first)
        second = predict(loaded_model, artifact, each(flipped, inputs))
        for name, array in first.items():
            others = {**{f"input {one!r}": inputs[one] for one in inputs}, "the next answer": second[name]}
            shared = [other for other, memory in others.items() if np.shares_memory(array, memory)]
            assert not shared, f"output {name!r} shares memory with {', '.join(shared)}; return a copy"
            assert _identical(array, kept[name]), f"output {name!r} changed during the next call; return a copy"

    def test_threads_agree(self, loaded_model: Model, artifact: Artifact) -> None:
        """Eight threads that call with different inputs at once get the outputs that each gets alone."""
        inputs = [artifact.inputs, each(flipped, artifact.inputs)]
        outputs = [predict(loaded_model, artifact, each) for each in inputs]

        def call(number: int) -> None:
            for turn in range(number, number + 20):
                answer = predict(loaded_model, artifact, inputs[turn % 2])
                self.check(answer, outputs[turn % 2], "a call from one of eight threads")

        failures = in_threads(call, self.patience)
        assert not failures, f"predict is not safe to call from several threads: {failures[0]}"


def _identical(array: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(array.tolist() == other.tolist()) if array.dtype.hasobject else array.tobytes() == other.tobytes()
