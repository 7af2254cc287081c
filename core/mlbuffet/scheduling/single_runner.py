"""How the calls that wait are taken and run."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from time import perf_counter_ns
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from mlbuffet.model import Model
from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.call import Call, Execution, Prediction
from mlbuffet.scheduling.pending_call import PendingCall

Predict: TypeAlias = Callable[..., dict[str, NDArray[Any]]]
"""`mlbuffet.Model.predict` of a model, or what stands for it."""


class Runner(Protocol):
    """``predict`` and ``run`` are called from several threads at once, the others on the event loop."""

    model: Model
    delay: float
    """How many seconds a call waits for others to share its batch, though it could run."""

    def batching(self, signature: str | None) -> Batching | None:
        """How calls of ``signature`` are batched, if they are."""
        ...

    def kind(self, call: Call) -> Hashable | None:
        """What calls that may share a batch have in common; ``None`` for one that runs alone."""
        ...

    def take(self, waiting: deque[PendingCall]) -> list[PendingCall]:
        """Remove from ``waiting`` what is to be run next; nothing where all that wait may have to wait for others."""
        ...

    def predict(self, call: Call) -> Prediction:
        """Run one call."""
        ...

    def run(self, batch: Sequence[PendingCall]) -> None:
        """Settle batch that were taken together, but for those that nobody waits for."""
        ...


class SingleRunner:
    """One call at a time."""

    delay = 0.0

    def __init__(self, model: Model, predict: Predict) -> None:
        self.model = model
        self._predict = predict

    def batching(self, signature: str | None) -> Batching | None:  # noqa: ARG002
        """Not at all."""
        return None

    def kind(self, call: Call) -> Hashable | None:  # noqa: ARG002
        """Each runs alone."""
        return None

    def take(self, waiting: deque[PendingCall]) -> list[PendingCall]:
        """The call that waits longest."""
        return [waiting.popleft()] if waiting else []

    def predict(self, call: Call, rows: int = 1) -> Prediction:
        """What the model answers to a call that counts as so many rows."""
        begun = perf_counter_ns()
        outputs = self._predict(call.inputs, signature=call.signature, outputs=call.outputs, any_shape=call.any_shape)
        return Prediction(outputs, Execution(rows, begun, 0, perf_counter_ns() - begun, 0), rows)

    def run(self, batch: Sequence[PendingCall]) -> None:
        """Each after the other."""
        for pending in batch:
            pending.settle(self.predict)
