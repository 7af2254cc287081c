"""The calls of a model in processes of its own."""

import logging
import time
from concurrent.futures import Future
from threading import Thread
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import DeadlineExceeded, MLBuffetError, PredictFailed, ProcessCrashed
from mlbuffet.isolation import sent_errors
from mlbuffet.isolation.channel import Channel, ProcessGone
from mlbuffet.isolation.instance import FirstCall, Life
from mlbuffet.isolation.messages import Packer, plain
from mlbuffet.isolation.processes import Processes
from mlbuffet.isolation.suspects import Suspects, digest_of
from mlbuffet.isolation.task import Task
from mlbuffet.patience import CANNOT_WAIT, NotAnsweredYet
from mlbuffet.patience import SECONDS as PATIENCE
from mlbuffet.request import Request
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.tensors import Tensors

KEPT_SECONDS = 1.0
"""How long the answer is kept that came too late for its caller, for the same call made in a thread."""

Outputs = dict[str, NDArray[Any]]

logger = logging.getLogger("mlbuffet.process")


class Calls:
    """Sends calls to ``processes``; those whose inputs end one process after another are refused."""

    def __init__(self, task: Task, processes: Processes, timeout: float | None) -> None:
        self._task = task
        self.processes = processes
        self._timeout = timeout
        self._packer = Packer()
        self._suspects = Suspects()
        self._warmup: list[FirstCall] | None = []
        """The calls since the load; ``None`` once it is warm."""
        self._late: dict[str, Future[Outputs]] = {}
        """By digest, the calls that took too long for a caller that could not wait."""

    def predict(self, signature: str, inputs: Tensors, request: Request | None = None) -> Outputs:
        """The outputs. Raises what the runtime raises, `ProcessCrashed`, and `DeadlineExceeded` after the timeout."""
        if self._warmup is not None:
            self._warmup.append(self._first_call(signature, inputs, request))
        digest = digest_of(signature, inputs) if self._suspects or self._late else ""
        if self._suspects.is_fatal(digest):
            raise self._refusal(signature)
        if (late := self._late.pop(digest, None)) is not None:
            return late.result()
        cannot_wait = CANNOT_WAIT.get()
        deadline = None if request is None else request.deadline
        life, channel = self._taken(deadline, alone=digest in self._suspects, wait=not cannot_wait)
        call = _Call(self, life, channel, signature, inputs, digest)
        call.begin(request, deadline)
        if not cannot_wait:
            return call.finish(self._timeout)
        try:
            return call.finish(PATIENCE)
        except TimeoutError:
            self._finish_later(call)
            raise NotAnsweredYet from None

    def _taken(self, deadline: float | None, *, alone: bool, wait: bool) -> tuple[Life, Channel]:
        while True:
            try:
                return self.processes.take(deadline, alone=alone, wait=wait)
            except ProcessGone:  # it ended before it was sent the call
                time.sleep(0.001)

    def end_of_warmup(self) -> None:
        """Have the other processes answer the calls that one has answered since the load, now and when they start."""
        calls, self._warmup = self._warmup, None
        if calls:
            self.processes.warm(calls)

    def is_suspect(self, signature: str, inputs: Tensors) -> bool:
        """Whether the call ended a process, or ran when one ended."""
        return bool(self._suspects) and digest_of(signature, inputs) in self._suspects

    def _first_call(self, signature: str, inputs: Tensors, request: Request | None) -> FirstCall:
        outputs = None if request is None else request.outputs
        parameters = {} if request is None else request.parameters
        packed = self._packer.pack(("predict", signature, outputs), inputs)
        return FirstCall(packed, b"\n" + plain(parameters) if parameters else b"")

    def _finish_later(self, call: "_Call") -> None:
        """Have a thread wait for the call in place of its caller."""
        digest = call.digest or digest_of(call.signature, call.inputs)
        late = self._late[digest] = Future()

        def finish() -> None:
            try:
                late.set_result(call.finish(self._timeout))
            except BaseException as error:  # noqa: BLE001 whoever makes the call again gets it
                late.set_exception(error)
            time.sleep(KEPT_SECONDS)
            if self._late.get(digest) is late:
                del self._late[digest]

        Thread(target=finish, name="mlbuffet-late-call", daemon=True).start()

    def _refusal(self, signature: str) -> PredictFailed:
        reason = f"its inputs have ended the process of the model {self._task.name!r} twice, and are refused"
        return PredictFailed("", signature, "they are refused until the model is loaded again", reason=reason)

    def _ended(self, call: "_Call") -> MLBuffetError:
        """The error of a call during which the process ended."""
        end = call.life.ended.result()
        name, version = self._task.name, self._task.version
        if call.timed_out:
            return DeadlineExceeded(self._timeout or 0)
        if call.life.verdict:
            return ProcessCrashed(name, version, f"its process was ended: {call.life.verdict}")
        digest = call.digest or digest_of(call.signature, call.inputs)
        if self._suspects.note_end(digest, alone=end.running == 1):
            logger.error(
                "the model %r: the call with the digest %s ended its process again, and is refused from now on",
                name,
                digest,
            )
            return self._refusal(call.signature)
        return ProcessCrashed(name, version, f"its process ended ({end.how}) while it computed the call")


class _Call:
    """A call that is under way."""

    def __init__(
        self, calls: Calls, life: Life, channel: Channel, signature: str, inputs: Tensors, digest: str
    ) -> None:
        self._calls = calls
        self._channel = channel
        self.life = life
        self.signature = signature
        self.inputs = inputs
        self.digest = digest
        self.timed_out = False

    def begin(self, request: Request | None, deadline: float | None) -> None:
        calls = self._calls
        outputs = None if request is None else request.outputs
        ids, parameters = REQUEST_IDS.get(), {} if request is None else request.parameters
        tail = b"%b\n%b" % (ids, plain(parameters)) if parameters else ids
        try:
            message = calls._packer.pack(("predict", self.signature, outputs), self.inputs)
            self._channel.begin(message, tail, deadline)
        except BaseException:
            calls.processes.give(self.life, self._channel)
            raise

    def finish(self, timeout: float | None) -> Outputs:
        """The outputs; after a ``TimeoutError`` it may be called again."""
        calls = self._calls
        try:
            received = self._channel.finish(timeout)
        except TimeoutError:
            if CANNOT_WAIT.get():
                raise
            self.timed_out = True
            calls.processes.end(self.life, f"a call took longer than {timeout:g} seconds")
            self.life.ended.result()
            calls.processes.give(self.life, self._channel)
            raise calls._ended(self) from None
        except ProcessGone:
            calls.processes.give(self.life, self._channel)
            raise calls._ended(self) from None
        calls.processes.give(self.life, self._channel)
        if self.digest:
            calls._suspects.note_answer(self.digest)
        if received.head[0] == "error":
            raise sent_errors.received(received.head[1])
        return received.tensors
