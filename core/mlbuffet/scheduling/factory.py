"""What the schedulers of a process share: threads, and the time of the event loop."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlbuffet.errors import LoadFailed
from mlbuffet.model import Model
from mlbuffet.running_calls import RunningCalls, VersionCalls
from mlbuffet.scheduling.batch_runner import BatchRunner
from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.independence import check_rows_independent, forms
from mlbuffet.scheduling.limit_settings import Limits
from mlbuffet.scheduling.loop_budget import LoopBudget
from mlbuffet.scheduling.runner import Predict, Runner
from mlbuffet.scheduling.scheduler import Scheduler
from mlbuffet.tensors import Signature

_THREADS = 8_000  # each model has a limit of its own; a thread is started only where all others are busy

logger = logging.getLogger("mlbuffet.scheduling.scheduling")

Samples = Mapping[str, Mapping[str, Any]]


class Scheduling:
    """Makes the schedulers of models; with ``batching`` every model is batched that can be.

    ``limits`` are those of the models that have none of their own, and their calls are noted in ``running``.
    """

    def __init__(
        self, *, batching: bool = False, limits: Limits | None = None, running: RunningCalls | None = None
    ) -> None:
        self.running = running or RunningCalls()
        self.batches: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        """By model and version: by rows, how many batches all its schedulers have taken from their queues."""
        self._batching = batching
        self._limits = limits or Limits()
        self._loop_budget = LoopBudget()
        self.reopen()

    def scheduler(
        self,
        model: Model,
        limits: Limits,
        batching: Batching | None = None,
        samples: Samples | None = None,
        calls: VersionCalls | None = None,
        *,
        in_threads: bool = False,
    ) -> Scheduler:
        """A scheduler for the calls of ``model``, batched if there is a ``batching``.

        Whether that is possible is tried with ``samples``, inputs by signature, else with random ones. The calls are
        noted in ``calls``, and with ``in_threads`` never run on the event loop. Raises `LoadFailed` where there is a
        ``batching`` and no signature can be batched.
        """
        predict: Predict = model.predict
        if calls is not None:
            predict = calls.noting(predict, model.signatures, model.signatures.default)
        runner = self._runner(model, predict, batching, samples or {})
        version = ("", 0) if calls is None else (calls.model, calls.version)
        batches = Counter[int]() if calls is None else self.batches[version]
        completed = limits.completed(self._limits).within(model.concurrency)
        return Scheduler(runner, completed, self._threads, self._loop_budget, batches, version, in_threads=in_threads)

    def reopen(self) -> None:
        """Have threads for the calls of the schedulers that are made from now on."""
        self._threads = ThreadPoolExecutor(_THREADS, "mlbuffet-predict")

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    def _runner(self, model: Model, predict: Predict, batching: Batching | None, samples: Samples) -> Runner:
        wanted = batching or (Batching() if self._batching else None)
        if wanted is None or wanted.max_size == 1:
            return Runner(model, predict)
        fit, refusals = _tried(model, samples)
        for refusal in refusals.values():
            logger.info("'%s': %s", model.path, refusal.reason)
        if fit:
            return BatchRunner(model, predict, wanted, fit)
        if batching is not None and refusals:
            raise refusals.get(model.signatures.default, next(iter(refusals.values())))
        return Runner(model, predict)


def _tried(model: Model, samples: Samples) -> tuple[dict[str, list[Signature]], dict[str | None, LoadFailed]]:
    """The signatures that can be batched, each with what of its variants and inputs can, and why others cannot."""
    fit: dict[str, list[Signature]] = {}
    refusals: dict[str | None, LoadFailed] = {}
    for name, signature in model.signatures.items():
        for variant in signature.variants or (signature,):
            for form in forms(variant):
                try:
                    check_rows_independent(model, name, form, samples.get(name))
                except LoadFailed as error:
                    refusals[name] = error
                else:
                    fit.setdefault(name, []).append(form)
    return fit, refusals
