"""The deployment of one model: each replica has all of its versions, with their batches, limits and caches."""

import asyncio
from typing import Any

from msgspec.structs import replace
from ray import serve

from mlbuffet.errors import MLBuffetError
from mlbuffet.inference import Deadline, InferenceRequest
from mlbuffet.inference.deadline import within
from mlbuffet_ray.answers import Answer
from mlbuffet_ray.model_host import ModelHost
from mlbuffet_ray.reports import portable
from mlbuffet_ray.specification import Specification


class ModelReplica:
    """Serves the model at ``places``; it is a replica once each version was tried."""

    async def __init__(self, places: tuple[str, ...], specification: Specification, directory: Any) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        process = serve.get_replica_context().replica_id.unique_id
        self._host = ModelHost(process, places, specification.make_runtimes(), specification.repository)
        await self._host.start(load_first=True)
        self._reporting = asyncio.create_task(self._host.report_forever(directory))

    async def infer(self, request: InferenceRequest, seconds: float | None) -> Answer | MLBuffetError:
        """The answer to a request that has so many seconds left, or why there is none."""
        if seconds is not None:
            request = replace(request, deadline=Deadline.after(seconds))
        try:
            return await within(request.deadline, self._answer(request))
        except MLBuffetError as error:
            return portable(error)

    async def _answer(self, request: InferenceRequest) -> Answer:
        with await self._host.service.serve(request.model, counted=False) as served:
            result = served.infer_now(request) or await served.infer(request)
            prediction = served.prediction
            assert prediction is not None
            execution = prediction.execution
            is_first = execution is not None and execution.count_once()
            return Answer(result, execution, prediction.rows, prediction.lookup, is_first)

    async def __del__(self) -> None:
        """End with the calls under way; Ray Serve awaits it."""
        self._reporting.cancel()
        await self._host.stop()
