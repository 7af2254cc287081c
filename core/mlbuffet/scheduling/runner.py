"""How the calls that wait are taken and run, one at a time."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from time import perf_counter_ns
from typing import Any, TypeAlias

from numpy.typing import NDArray

from mlbuffet.model import Model
from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.call import Call, Execution, Prediction
from mlbuffet.scheduling.pending_call import PendingCall

Predict: TypeAlias = Callable[..., dict[str, NDArray[Any]]]
"""`mlbuffet.Model.predict` of a model, or what stands for it."""


class Runner:
    """``predict`` and ``run`` are called from several threads at once, the others on the event loop."""

    delay = 0.0
    """How many seconds a call waits for others to share its batch, though it could run."""

    def __init__(self, model: Model, predict: Predict) -> None:
        self.model = model
        self.direct = self._predict = predict
        """For a call that neither waits nor is counted."""

    def batching(self, signature: str | None) -> Batching | None:  # noqa: ARG002
        """How calls of ``signature`` are batched, if they are."""
        return None

    def kind(self, call: Call) -> Hashable | None:  # noqa: ARG002
        """What calls that may share a batch have in common; ``None`` for one that runs alone."""
        return None

    def take(self, waiting: deque[PendingCall]) -> list[PendingCall]:
        """Take the next calls to run out of ``waiting``; none while a batch may still fill."""
        return [waiting.popleft()] if waiting else []

    def predict(self, call: Call, rows: int = 1) -> Prediction:
        """Run one call, which counts as so many rows."""
        begun = perf_counter_ns()
        deadline = call.deadline
        outputs = self._predict(
            call.inputs,
            signature=call.signature,
            outputs=call.outputs,
            any_shape=call.any_shape,
            parameters=call.parameters,
            deadline=None if deadline is None else deadline.at,
        )
        return Prediction(outputs, Execution(rows, begun, 0, perf_counter_ns() - begun, 0), rows)

    def run(self, batch: Sequence[PendingCall]) -> None:
        """Settle the calls of a batch, but for those that were cancelled."""
        for pending in batch:
            pending.settle(self.predict)
