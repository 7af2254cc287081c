"""A call that waits to be run, and for its result."""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol

from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.scheduling.call import Call, Prediction
from mlbuffet.scheduling.latency_estimate import LatencyEstimate
from mlbuffet.scheduling.rows import row_count


class Lease(Protocol):
    """What keeps a model loaded until it is released."""

    def release(self) -> None:
        """Let the model be unloaded."""
        ...


class PendingCall:
    """Made on the event loop, settled in a thread, delivered on the loop."""

    __slots__ = ("_settled", "call", "estimate", "is_ready", "kind", "release", "request_id", "result", "rows")

    def __init__(self, call: Call, kind: Hashable | None, estimate: LatencyEstimate, lease: Lease) -> None:
        self.call = call
        self.kind = kind
        """What calls that may share a batch have in common; ``None`` for one that runs alone."""
        self.rows = row_count(call.inputs)
        self.estimate = estimate
        self.release = lease.release
        self.request_id = REQUEST_IDS.get()
        """Of the request that made the call."""
        self.is_ready = True
        """Whether it waits no longer for others to share its batch."""
        self.result: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._settled: Callable[[], object] = self.result.cancel

    @property
    def succeeded(self) -> bool:
        """Whether the result is a prediction."""
        return self.result.done() and not self.result.cancelled() and self.result.exception() is None

    def settle(self, predict: Callable[[Call], Prediction]) -> None:
        """Note the outcome of ``predict``, unless the call was cancelled."""
        if self.result.cancelled():
            return
        REQUEST_IDS.set(self.request_id)
        try:
            self.note(predict(self.call))
        except BaseException as raised:  # noqa: BLE001  whatever it is, the caller gets it
            self._settled = partial(self.result.set_exception, raised)

    def note(self, prediction: Prediction) -> None:
        """Take ``prediction`` for the result."""
        self._settled = partial(self.result.set_result, prediction)

    def deliver(self) -> None:
        """Give the caller what was noted."""
        if not self.result.done():
            self._settled()
