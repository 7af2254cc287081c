"""The calls of one model: which run on the event loop, which in threads, which wait, and which are refused."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from time import perf_counter

from mlbuffet.errors import Overloaded
from mlbuffet.patience import CANNOT_WAIT, NotAnsweredYet
from mlbuffet.scheduling.call import Call, Prediction
from mlbuffet.scheduling.latency_estimate import LatencyEstimate
from mlbuffet.scheduling.limit_settings import Limits
from mlbuffet.scheduling.loop_budget import TURN, LoopBudget
from mlbuffet.scheduling.pending_call import Lease, PendingCall
from mlbuffet.scheduling.runner import Runner
from mlbuffet.tensors import rough_size

WORTH_BATCHING = 0.00015
"""The seconds of a call from which concurrent calls are batched instead of run on the event loop.

They are one call's share of the way to a thread and back.
"""


class Scheduler:
    """Its methods are called on one event loop.

    A call that is known to be quick runs there (`run_now`), for the way to a thread and back takes longer than many
    models. Others are submitted: ``limits`` say how many run in threads and how many wait; more are refused. With
    ``in_threads`` all are submitted, however quick.
    """

    def __init__(
        self,
        runner: Runner,
        limits: Limits,
        threads: Executor,
        loop_budget: LoopBudget,
        batches: Counter[int],
        version: tuple[str, int],
        *,
        in_threads: bool = False,
    ) -> None:
        self._runner = runner
        self._never_now = in_threads or runner.delay > 0
        self.model = runner.model
        self.batching = runner.batching
        self.direct = runner.direct
        self._concurrency = limits.concurrency
        self._max_queue = limits.queue
        self._threads = threads
        self._loop_budget = loop_budget
        self.batches = batches
        """By rows, how many batches were taken from the queue."""
        self._version = version
        self._waiting: deque[PendingCall] = deque()
        self.running = 0
        """How many calls, or batches of them, run in threads."""
        self._estimates: dict[tuple[str, int], LatencyEstimate] = defaultdict(LatencyEstimate)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Raises `Overloaded` where another call could not even wait."""
        if self.running >= self._concurrency and len(self._waiting) >= self._max_queue:
            raise Overloaded(self.running, len(self._waiting), *self._version)

    @property
    def may_run_now(self) -> bool:
        """Whether `run_now` is worth trying, for which a call has to be made first."""
        if not (self.running or self._waiting or self._never_now) and self._loop_budget.spent < TURN:
            for estimate in self._estimates.values():  # any() of a generator takes twice the time
                if estimate.quick:
                    return True
        return False

    def run_now(self, call: Call) -> Prediction | None:
        """The result of a call that is known to be quick while no other waits; ``None`` for one to be submitted.

        A call that then takes too long, in a process of its model, is also ``None``; submitted, it gets its answer.
        """
        if self.running or self._waiting or self._never_now:
            return None
        estimate = self._estimate_of(call)
        spent = self._loop_budget.spent
        if not estimate.quick or spent >= TURN or (spent and self._is_batch_better(call, estimate)):
            return None
        begun = perf_counter()
        waits = CANNOT_WAIT.set(True)
        try:
            return self._runner.predict(call)
        except NotAnsweredYet:
            return None
        finally:
            CANNOT_WAIT.reset(waits)
            seconds = perf_counter() - begun
            self._loop_budget.spend(seconds)
            estimate.note_loop(seconds)

    def submit(self, call: Call, lease: Callable[[], Lease]) -> asyncio.Future[Prediction]:
        """The result to come. Cancelling it takes the call out of the queue.

        The model is held with a ``lease`` until the call has ended, which may be after the result was cancelled.
        Raises `Overloaded` or `UnknownSignature`.
        """
        self.check_room()
        pending = PendingCall(call, self._runner.kind(call), self._estimate_of(call), lease())
        pending.result.add_done_callback(partial(self._drop_cancelled, pending))
        if pending.kind is not None and self._runner.delay:
            pending.is_ready = False
            asyncio.get_running_loop().call_later(self._runner.delay, self._make_ready, pending)
        self._waiting.append(pending)
        self._start()
        return pending.result

    def _is_batch_better(self, call: Call, estimate: LatencyEstimate) -> bool:
        return estimate.mean > WORTH_BATCHING and self._runner.kind(call) is not None

    def _estimate_of(self, call: Call) -> LatencyEstimate:
        """Sizes count by powers of two: what is much larger than all before is measured in a thread first."""
        signature = self.model.signatures.resolve(call.signature)
        return self._estimates[signature, rough_size(call.inputs).bit_length()]

    def _start(self) -> None:
        while self.running < self._concurrency and (batch := self._runner.take(self._waiting)):
            self.running += 1
            if batch[0].kind is not None:
                self.batches[sum(pending.rows for pending in batch)] += 1
            self._threads.submit(self._run, batch, asyncio.get_running_loop())

    def _run(self, batch: Sequence[PendingCall], loop: asyncio.AbstractEventLoop) -> None:
        begun = perf_counter()
        try:
            self._runner.run(batch)
        finally:
            seconds = perf_counter() - begun
            for pending in batch:
                pending.release()
            try:
                loop.call_soon_threadsafe(self._ended, batch, seconds)
            except RuntimeError:  # the loop was closed, and with it the callers
                self._end_without_loop()

    def _end_without_loop(self) -> None:
        """Make room for the calls that wait on another event loop, such as that of the next test of a program."""
        self.running -= 1
        for pending in self._waiting.copy():
            with suppress(RuntimeError):
                pending.result.get_loop().call_soon_threadsafe(self._start)
                return

    def _ended(self, batch: Sequence[PendingCall], seconds: float) -> None:
        self.running -= 1
        self._start()
        for pending in batch:
            pending.deliver()
            if pending.succeeded:
                pending.estimate.note_thread(seconds)

    def _make_ready(self, pending: PendingCall) -> None:
        pending.is_ready = True
        self._start()

    def _drop_cancelled(self, pending: PendingCall, result: asyncio.Future[Prediction]) -> None:
        """Take a call that was cancelled out of the queue, if it is there."""
        if result.cancelled() and pending in self._waiting:
            self._waiting.remove(pending)
            pending.release()
