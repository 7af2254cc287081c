"""How the calls that wait are taken and run."""

from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Protocol

from mlbuffet.model import Model
from mlbuffet.scheduling.call import Call, Execution, Prediction
from mlbuffet.scheduling.ticket import Ticket


class Runner(Protocol):
    """``take`` and ``delay`` are called on the event loop; ``predict`` and ``run`` from several threads at once."""

    model: Model

    def take(self, waiting: deque[Ticket]) -> list[Ticket]:
        """Remove from ``waiting``, which is not empty, what is to be run next."""
        ...

    def predict(self, call: Call) -> Prediction:
        """Run one call."""
        ...

    def run(self, tickets: Sequence[Ticket]) -> None:
        """Settle tickets that were taken together, but for those that nobody waits for."""
        ...


class Singly:
    """One call at a time."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def take(self, waiting: deque[Ticket]) -> list[Ticket]:
        """The call that waits longest."""
        return [waiting.popleft()]

    def predict(self, call: Call) -> Prediction:
        """What the model answers."""
        begun = perf_counter_ns()
        outputs = self.model.predict(
            call.inputs, signature=call.signature, outputs=call.outputs, any_shape=call.any_shape
        )
        return Prediction(outputs, Execution(begun, perf_counter_ns() - begun))

    def run(self, tickets: Sequence[Ticket]) -> None:
        """Each after the other."""
        for ticket in tickets:
            if not ticket.is_abandoned:
                ticket.settle(lambda call=ticket.call: self.predict(call))  # type: ignore[misc]  # mypy: a default is no type
