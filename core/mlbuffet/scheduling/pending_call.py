"""A call that waits for its turn, and for its answer."""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol

from mlbuffet.running import REQUEST_IDS
from mlbuffet.scheduling.call import Call, Prediction
from mlbuffet.scheduling.latency_estimate import LatencyEstimate
from mlbuffet.scheduling.rows import row_count


class Lease(Protocol):
    """What keeps a model loaded until it is released."""

    def release(self) -> None:
        """Give it back."""
        ...


class PendingCall:
    """Made on the event loop, settled in a thread, delivered on the loop."""

    __slots__ = ("_lease", "_settled", "answer", "call", "estimate", "is_ripe", "kind", "request_id", "rows")

    def __init__(self, call: Call, kind: Hashable | None, estimate: LatencyEstimate, lease: Lease) -> None:
        self.call = call
        self.kind = kind
        """What calls that may share a batch have in common; ``None`` for one that runs alone."""
        self.rows = row_count(call.inputs)
        self.estimate = estimate
        self.request_id = REQUEST_IDS.get()
        """Of the request that it is of."""
        self.is_ripe = True
        """Whether it waits no longer for others to share its batch."""
        self.answer: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._lease = lease
        self._settled: Callable[[], object] = self.answer.cancel

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.answer.cancelled()

    @property
    def succeeded(self) -> bool:
        """Whether the answer is a prediction."""
        return self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None

    def settle(self, predict: Callable[[Call], Prediction]) -> None:
        """Note what ``predict`` makes of the call, unless nobody waits for it."""
        if self.is_abandoned:
            return
        REQUEST_IDS.set(self.request_id)
        try:
            self.note(predict(self.call))
        except BaseException as raised:  # noqa: BLE001  whatever it is, the caller is told
            self._settled = partial(self.answer.set_exception, raised)

    def note(self, prediction: Prediction) -> None:
        """Take ``prediction`` for the answer."""
        self._settled = partial(self.answer.set_result, prediction)

    def deliver(self) -> None:
        """Hand over what was noted."""
        if not self.answer.done():
            self._settled()

    def release(self) -> None:
        """Let the model go."""
        self._lease.release()
