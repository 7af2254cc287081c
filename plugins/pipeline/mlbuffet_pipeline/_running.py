"""The steps of one call, one after the other, or at once as far as they do not wait for each other."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from graphlib import TopologicalSorter
from time import perf_counter

from mlbuffet.hookspecs import HeldModel, Request
from mlbuffet_pipeline._plan import QUICK, PlannedStep, Values, can_run_at_once

_RISE = 1.1
"""By how much an estimate rises with a call that takes longer: one may be late on a busy machine."""


class Run:
    """One call, which fills ``values`` from the inputs of the pipeline on."""

    def __init__(self, models: Mapping[str, HeldModel], values: Values, request: Request) -> None:
        self._models = models
        self._values = values
        self._request = request

    def steps(self, steps: Sequence[PlannedStep], threads: ThreadPoolExecutor) -> None:
        """Run them all; what is known to be quick goes without a thread. Raises the first error, once none runs."""
        if not can_run_at_once(steps):
            for step in steps:
                self._step(step)
        else:
            self._at_once(steps, threads)

    def _at_once(self, steps: Sequence[PlannedStep], threads: ThreadPoolExecutor) -> None:
        sorter = TopologicalSorter({step.name: step.needs for step in steps})
        sorter.prepare()
        by_name = {step.name: step for step in steps}
        running: dict[Future[None], str] = {}
        try:
            while sorter.is_active():
                ready = [by_name[name] for name in sorter.get_ready()]
                is_alone = len(ready) == 1 and not running
                here = [step for step in ready if is_alone or step.seconds <= QUICK]
                for step in ready:
                    if step not in here:
                        running[threads.submit(copy_context().run, self._step, step)] = step.name
                for step in here:
                    self._step(step)
                    sorter.done(step.name)
                for future in wait(running, return_when=FIRST_COMPLETED).done if not here else ():
                    sorter.done(running.pop(future))
                    future.result()
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _step(self, step: PlannedStep) -> None:
        begun = perf_counter()
        step.run(self._models, self._values, self._request)
        step.seconds = min(perf_counter() - begun, _RISE * step.seconds)
