"""A version of a model that has a deployment of its own, for one request."""

import asyncio
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from grpc import StatusCode
from grpc.aio import AioRpcError
from msgspec.structs import replace
from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RpcError, WorkerCrashedError
from ray.serve.exceptions import DeploymentUnavailableError, RequestCancelledError

from mlbuffet.errors import MLBuffetError, ModelNotFound, ModelNotReady
from mlbuffet.inference import InferenceRequest, InferenceResult, ModelDescription, ModelSelector
from mlbuffet.scheduling import Execution, Prediction
from mlbuffet.telemetry.version_statistics import VersionStatistics
from mlbuffet.tensors import Signatures, rough_size
from mlbuffet_ray.answers import Answer

LOST = (
    RayActorError,
    NodeDiedError,
    WorkerCrashedError,
    ObjectLostError,
    RpcError,
    RequestCancelledError,
    DeploymentUnavailableError,
    AioRpcError,
)
"""What is raised where the replica, or its node, died or was stopped before it answered."""
TRIES = 6
"""How often a request is asked whose replica is lost; one that ends each of them must not end them all."""
LARGE = 2**20
"""Bytes from which inputs go through Ray's store of objects, and not in the message."""
_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_PATIENCE = 30.0
"""Seconds in which a version that some replica has is looked for."""


class ClusterModel:
    """A `ServedModel`: nothing is held, for a replica holds it while it computes."""

    def __init__(
        self, found: ModelDescription, asked: ModelSelector, asking: "Asking", statistics: VersionStatistics | None
    ) -> None:
        self.model = found.model
        self.version = found.version
        self.signatures: Signatures = found.signatures
        self._asked = asked
        self._asking = asking
        self._statistics = statistics
        self._begun = self._called = perf_counter_ns()
        self._answered = 0
        self._prediction: Prediction | None = None

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        """The result; asked again where a replica is lost meanwhile, for a prediction changes nothing."""
        is_free = self._asked.version is None and self._asked.label is None
        selector = ModelSelector(self.model, self.version, or_default=is_free or self._asked.or_default)
        self._called = perf_counter_ns()
        answer = await self._asking.infer(replace(request, model=selector))
        self._answered = perf_counter_ns()
        self._prediction = _prediction(answer, self._answered)
        return answer.result

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        """``None``: every request goes elsewhere."""
        return None

    def __enter__(self) -> "ClusterModel":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Count the request, as a model of this process does."""
        if self._statistics is None:
            return
        end = perf_counter_ns()
        if self._prediction is not None and error is None:
            self._statistics.success(self._prediction, self._begun, self._called, self._answered, end)
        elif isinstance(error, Exception):
            self._statistics.failure(end - self._begun)


class Asking:
    """How the replicas of one model are asked; ``is_ready`` is whether some replica has that version."""

    def __init__(self, handle: Any, is_ready: Callable[[ModelSelector], bool]) -> None:
        self._by_value = handle.options(_by_reference=False)
        self._by_reference = handle
        self._is_ready = is_ready

    async def infer(self, request: InferenceRequest) -> Answer:
        """The answer of some replica. Raises what it raised, or `ModelNotReady` where one after the other is lost."""
        lost, pause, until = 0, _PAUSE, time.monotonic() + _PATIENCE
        by_value = rough_size(request.inputs) < LARGE
        while True:
            try:
                outcome = await self._once(request, by_value=by_value)
            except LOST as error:
                if isinstance(error, AioRpcError) and error.code() is StatusCode.RESOURCE_EXHAUSTED:
                    by_value = False  # the outputs are too large for a message
                    continue
                lost += 1
                if lost >= TRIES:
                    raise _gone(request) from error
            else:
                if not isinstance(outcome, MLBuffetError):
                    return outcome
                if not self._may_be_elsewhere(request, outcome) or time.monotonic() > until:
                    raise outcome
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _once(self, request: InferenceRequest, *, by_value: bool) -> Answer | MLBuffetError:
        handle = self._by_value if by_value else self._by_reference
        deadline = request.deadline
        seconds = None if deadline is None else max(0.0, deadline.at - time.monotonic())
        response = handle.infer.remote(replace(request, deadline=None), seconds)
        try:
            outcome: Answer | MLBuffetError = await response
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                response.cancel()
                raise
            raise RequestCancelledError from None  # its replica was stopped
        return outcome

    def _may_be_elsewhere(self, request: InferenceRequest, error: MLBuffetError) -> bool:
        """Whether one replica lacks what another has, as while a version comes or goes."""
        return isinstance(error, ModelNotFound | ModelNotReady) and self._is_ready(request.model)


def _prediction(answer: Answer, answered: int) -> Prediction:
    """``answer`` by the clock of this process, where the way to the replica and back counts as waiting."""
    execution = answer.execution
    if execution is not None:
        begun = answered - answer.result.compute_ns
        execution = Execution(execution.rows, begun, execution.join, execution.infer, execution.divide)
        if not answer.is_first:
            execution.count_once()
    return Prediction({}, execution, answer.rows, answer.lookup)


def _gone(request: InferenceRequest) -> ModelNotReady:
    reason = f"{TRIES} replicas were lost while they computed this"
    return ModelNotReady(request.model.model, request.model.version or 0, reason, 1.0)
