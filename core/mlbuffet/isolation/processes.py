"""The processes of one model: how they are started, ended and started anew, and which of them takes a call."""

import logging
import pickle
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any

from mlbuffet.errors import DeadlineExceeded, LoadFailed, ModelClosed, ProcessCrashed, reason_of
from mlbuffet.hookspecs import note_import
from mlbuffet.isolation.channel import Channel, ProcessGone
from mlbuffet.isolation.instance import STEADY_SECONDS, End, FirstCall, Instance, Life, Loaded
from mlbuffet.isolation.process_settings import Isolation, ProcessSettings
from mlbuffet.isolation.task import Task
from mlbuffet.load_context import OtherModel, OtherModels
from mlbuffet.patience import NotAnsweredYet
from mlbuffet.scheduling.limit_settings import available_cores
from mlbuffet.tensors import Signatures

UNLOAD_SECONDS = 10.0
"""How long a process may take to unload its model before it is killed."""

logger = logging.getLogger("mlbuffet.process")


class Processes:
    """Loads the model of ``task`` in each, which may call ``models``. Creating it raises what the runtime raises.

    ``on_lost`` is called with the reason once there is none any more that could answer.
    """

    def __init__(
        self,
        task: Task,
        settings: ProcessSettings,
        isolation: Isolation,
        models: OtherModels,
        on_lost: Callable[[ProcessCrashed], None],
    ) -> None:
        self._task = task
        self._settings = settings
        self._longest_delay = isolation.longest_delay
        self._on_lost = on_lost
        self._other_models: dict[str, OtherModel] = {}
        self._changed = Condition()
        given = _pickled(task)
        self._events: SimpleQueue[tuple[str, Future[OtherModel]] | Loaded | Exception] | None = SimpleQueue()
        """What the load waits for; ``None`` once it has ended."""
        self._instances = [Instance(given, self, confined=settings.confined) for _ in range(settings.count)]
        self._failure: Exception | None = None
        """Why the last process that was started anew could not load the model."""
        self._failures = 0
        self._first_calls: Sequence[FirstCall] = ()
        """What a process answers before it is used."""
        self._closed = False
        self.restarts = 0
        self.signatures = Signatures({}, default=None)
        self.concurrency: int | None = None
        """How many calls may run at once in all of them together."""
        self.memory: int | None = None
        """How many bytes they take together, where the runtime says it."""
        for one in self._instances:
            one.start()
        try:
            self._wait_for_loads(models)
        except BaseException:
            self.close()
            raise
        self._events = None

    @property
    def alive(self) -> int:
        """How many can be called."""
        return sum(one.life is not None for one in self._instances)

    @property
    def pids(self) -> Sequence[int]:
        """The ids of those that can be called."""
        return [life.process.pid for one in self._instances if (life := one.life) is not None]

    def take(self, deadline: float | None = None, *, alone: bool = False, wait: bool = True) -> tuple[Life, Channel]:
        """A channel of the process that has least to do, with ``alone`` of one that has nothing to do meanwhile.

        Raises `ModelClosed`, `DeadlineExceeded`, `ProcessCrashed` where waiting is of no use, and without ``wait``
        `NotAnsweredYet` where it would be needed.
        """
        with self._changed:
            failures, call = self._failures, object()
            try:
                while (life := self._free(call, alone=alone)) is None:
                    if not wait:
                        raise NotAnsweredYet
                    self._check_may_come(failures)
                    left = None if deadline is None else deadline - time.monotonic()
                    if not self._changed.wait(left) and left is not None:
                        raise DeadlineExceeded(0)
            except BaseException:
                self._unreserve(call)
                raise
            life.running += 1
            channel = life.idle.pop() if life.idle else None
        if channel is None:
            try:
                channel = life.open_channel()
            except BaseException:
                self._give(life)
                raise
            with self._changed:
                life.channels.append(channel)
                if life.ended.done():
                    channel.wake()
        return life, channel

    def give(self, life: Life, channel: Channel) -> None:
        """The call has ended."""
        with self._changed:
            is_ended = life.ended.done()
            if not is_ended:
                life.idle.append(channel)
        self._give(life)
        if is_ended:
            channel.close()

    def warm(self, calls: Sequence[FirstCall]) -> None:
        """Have all but the first, which has answered them, answer ``calls``, and each that is started anew."""
        self._first_calls = calls
        lives = [one.life for one in self._instances[1:]]
        threads = [Thread(target=_warm, args=[life, calls], name="mlbuffet-warm-up") for life in lives if life]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def end(self, life: Life, verdict: str) -> None:
        """Kill a process, for the reason ``verdict``; another takes its place."""
        life.verdict = verdict
        for one in self._instances:
            if one.life is life:
                one.kill()

    def close(self) -> None:
        """Unload the model in all processes, and wait for their end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for one in self._instances:
            one.end()
        deadline = time.monotonic() + UNLOAD_SECONDS
        for one in self._instances:
            one.join(max(deadline - time.monotonic(), 0))

    def other_model(self, name: str) -> OtherModel:
        """See `Owner`; in the thread of the process that asks."""
        known, events = self._other_models.get(name), self._events
        if known is not None:
            return known
        if events is None:
            raise LoadFailed(f"it calls the model {name!r}, which it did not when it was loaded first; load it again")
        asked = Future[OtherModel]()
        events.put((name, asked))
        return asked.result()

    def note_start(self, instance: Instance, life: Life, loaded: Loaded) -> None:
        """See `Owner`."""
        events = self._events
        if events is None:
            if loaded.signatures != self.signatures or loaded.signatures.default != self.signatures.default:
                raise LoadFailed("its files have changed since it was loaded first; load it again")
            life.warm(self._first_calls)
            logger.warning("%s: another process answers", self._name)
        with self._changed:
            instance.life = life
            self.restarts += events is None
            self._changed.notify_all()
        if events is not None:
            events.put(loaded)

    def note_failure(self, instance: Instance, error: Exception) -> float | None:
        """See `Owner`."""
        if self._closed:
            return None
        if (events := self._events) is not None:
            events.put(error)
            return None
        delay = self._next_delay(instance)
        logger.error(
            "%s: its process cannot be started anew: %s; next try in %g s", self._name, reason_of(error), delay
        )
        logger.debug("its traceback:", exc_info=error)
        with self._changed:
            self._failure = error
            self._failures += 1
            self._changed.notify_all()
        return delay

    def note_end(self, instance: Instance, life: Life, end: End, dump: str) -> float | None:
        """See `Owner`."""
        with self._changed:
            instance.life = None
            end = end._replace(running=life.running, how=life.verdict or end.how)
            life.ended.set_result(end)
            idle, life.idle = life.idle, []
            for channel in life.channels:
                channel.wake()
            self._changed.notify_all()
        for channel in idle:
            channel.close()
        if self._closed:
            return None
        if not self._settings.restart:
            self._log_end(end, dump, "; it is not started anew")
            self._note_loss(end)
            return None
        if time.monotonic() - life.begun > STEADY_SECONDS:
            instance.failures = 0
        delay = self._next_delay(instance)
        self._log_end(end, dump, f"; another starts in {delay:g} s" if delay else "; another starts")
        return delay

    @property
    def _name(self) -> str:
        version = f"version {self._task.version} of " if self._task.version is not None else ""
        return f"{version}the model {self._task.name!r}"

    def _wait_for_loads(self, models: OtherModels) -> None:
        """Answer what they ask for, in the thread of the load, until all have loaded. Raises why one cannot."""
        assert self._events is not None
        all_loaded: list[Loaded] = []
        while len(all_loaded) < len(self._instances):
            match self._events.get():
                case Loaded() as loaded:
                    all_loaded.append(loaded)
                case Exception() as error:
                    raise error
                case (name, asked):
                    self._ask(models, name, asked)
        first = all_loaded[0]
        self.signatures = first.signatures
        self.concurrency = self._concurrency(first.concurrency)
        self.memory = None if first.memory is None else len(self._instances) * first.memory
        for framework in first.imports:
            note_import(framework, max(one.imports.get(framework, 0.0) for one in all_loaded))

    def _ask(self, models: OtherModels, name: str, asked: Future[OtherModel]) -> None:
        try:
            model = self._other_models[name] = self._other_models.get(name) or models[name]
        except Exception as error:  # noqa: BLE001 the process gets it
            asked.set_exception(error)
        else:
            asked.set_result(model)

    def _concurrency(self, of_one: int | None) -> int | None:
        """What the scheduler is to know: where a process takes any number of calls, there is at least one for each."""
        count = len(self._instances)
        if of_one is None:
            return None if count <= max(2, available_cores()) else count
        return count * of_one

    def _free(self, call: object, *, alone: bool) -> Life | None:
        """A process that takes the call now."""
        if self._closed:
            raise ModelClosed(self._task.path)
        best = None
        for one in self._instances:
            life = one.life
            if life is None or life.reserved not in (None, call):
                continue
            if best is None or life.running < best.running:
                best = life
        if best is None:
            return None
        if alone:
            best.reserved = call
            return None if best.running else best
        return None if best.concurrency is not None and best.running >= best.concurrency else best

    def _unreserve(self, call: object) -> None:
        for one in self._instances:
            if one.life is not None and one.life.reserved is call:
                one.life.reserved = None

    def _give(self, life: Life) -> None:
        with self._changed:
            life.running -= 1
            if not life.running:  # a call that was to run alone has
                life.reserved = None
            self._changed.notify_all()

    def _check_may_come(self, failures: int) -> None:
        """Raises `ProcessCrashed` where there is no process, and the next start was of no use."""
        if any(one.life is not None for one in self._instances):
            return
        if not self._settings.restart:
            raise ProcessCrashed(self._task.name, self._task.version, "its process has ended, and is not started anew")
        if self._failures > failures and self._failure is not None:
            reason = f"its process cannot be started anew: {getattr(self._failure, 'public', 'the log says why')}"
            raise ProcessCrashed(self._task.name, self._task.version, reason)

    def _next_delay(self, instance: Instance) -> float:
        """0, 1, 2, 4... seconds."""
        instance.failures += 1
        return min(2.0 ** min(instance.failures - 2, 16), self._longest_delay) if instance.failures > 1 else 0.0

    def _log_end(self, end: End, dump: str, then: str) -> None:
        calls = f"while it ran {end.running} call{'s' * (end.running > 1)}" if end.running else "while it ran no call"
        fields: dict[str, Any] = {"process": end.pid, "model": self._task.name, "version": self._task.version}
        if dump:
            fields["traceback"] = dump
        message = f"{self._name}: its process {end.pid} ended ({end.how}) {calls}{then}"
        logger.error("%s%s", message, f"\n{dump}".rstrip(), extra={"fields": fields | {"message": message}})

    def _note_loss(self, end: End) -> None:
        if not self.alive:
            reason = f"its process ended ({end.how}), and is not started anew: [process] has restart = false"
            self._on_lost(ProcessCrashed(self._task.name, self._task.version, reason))


def _warm(life: Life, calls: Sequence[FirstCall]) -> None:
    with suppress(ProcessGone):  # another takes its place
        life.warm(calls)


def _pickled(task: Task) -> bytes:
    try:
        return pickle.dumps(task)
    except Exception as error:
        problem = f"the options of the runtime {task.runtime!r} cannot be given to a process of the model's own"
        raise LoadFailed(problem, detail=str(error)) from error
