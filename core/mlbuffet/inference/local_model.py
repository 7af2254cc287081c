"""A version of a model of this process, for one request."""

from time import perf_counter_ns

import msgspec

from mlbuffet.caching import PredictionCache, Question
from mlbuffet.inference.offload import offload
from mlbuffet.inference.request import InferenceRequest, InferenceResult
from mlbuffet.repository import Handle
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.scheduling import Call, Prediction
from mlbuffet.telemetry.version_statistics import VersionStatistics
from mlbuffet.tensors import Signatures, rough_size


class LocalModel(msgspec.Struct, gc=False):
    """A `ServedModel`: the handle of a version, and where its requests are counted."""

    model: str
    version: int
    signatures: Signatures
    _handle: Handle
    _cache: PredictionCache
    _statistics: VersionStatistics | None
    _begun: int
    """When, by `time.perf_counter_ns`, it was taken for a request."""
    _called: int = 0
    """When the model was called."""
    _answered: int = 0
    _prediction: Prediction | None = None

    @property
    def prediction(self) -> Prediction | None:
        """The outputs of the last call, and the run that gave them."""
        return self._prediction

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        self._begin_call(request)
        if self._handle.version.configuration.cache is not None:
            return self._result(await self._cached_or_computed(request))
        return self._result(await self._handle.scheduler.submit(request, self._handle.again))

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        if self._handle.version.configuration.cache is not None:
            return None
        self._begin_call(request)
        prediction = self._handle.scheduler.run_now(request)
        return None if prediction is None else self._result(prediction)

    def __enter__(self) -> "LocalModel":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._handle.release()
        statistics = self._statistics
        if statistics is None:
            return
        end = perf_counter_ns()
        if self._prediction is not None and error is None:
            statistics.success(self._prediction, self._begun, self._called, self._answered, end)
        elif isinstance(error, Exception):
            statistics.failure(end - self._begun)

    def _begin_call(self, request: InferenceRequest) -> None:
        self._called = perf_counter_ns()
        if request.id:
            REQUEST_IDS.set(request.id.encode(errors="replace"))

    def _result(self, prediction: Prediction) -> InferenceResult:
        self._prediction = prediction
        self._answered = answered = perf_counter_ns()
        outputs, execution, lookup = prediction.outputs, prediction.execution, prediction.lookup or 0
        if execution is None:
            return InferenceResult(self.model, self.version, outputs, 0, 0, lookup)
        begun = execution.begun
        return InferenceResult(self.model, self.version, outputs, begun - self._called, answered - begun, lookup)

    async def _cached_or_computed(self, call: Call) -> Prediction:
        question = self._question(call)
        await offload(rough_size(question.inputs), lambda: question.key)

        async def compute(own: Handle) -> Prediction:
            return own.scheduler.run_now(call) or await own.scheduler.submit(call, own.again)

        return await self._cache.answer(question, self._handle.again, compute)

    def _question(self, call: Call) -> Question:
        """The key of ``call`` in the cache. Raises `InvalidInput` as the model would."""
        model, version = self._handle.model, self._handle.version
        name = model.signatures.resolve(call.signature)
        declared = model.signatures[name].variant_for(call.inputs)
        wanted = declared.check_outputs(call.outputs)
        return Question(
            model=version.name,
            content=version.content,
            signature=name,
            outputs={output: declared.outputs[output] for output in wanted},
            inputs=declared.check_inputs(call.inputs, any_shape=call.any_shape and model.runtime.takes_any_shape),
            seconds=version.configuration.cache.seconds if version.configuration.cache else 0.0,
            parameters=declared.check_parameters(call.parameters),
        )
