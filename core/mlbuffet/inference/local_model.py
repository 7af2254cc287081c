"""A version of a model of this process, for one request."""

from time import perf_counter_ns

from mlbuffet.caching import PredictionCache, Question
from mlbuffet.inference.offload import offload
from mlbuffet.inference.request import InferenceRequest, InferenceResult
from mlbuffet.repository import Handle
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.scheduling import Call, Prediction
from mlbuffet.telemetry.version_statistics import VersionStatistics
from mlbuffet.tensors import rough_size


class LocalModel:
    """A `ServedModel`: the handle of a version, and where its requests are counted."""

    _called = _answered = 0
    """When, in nanoseconds, the model was called, and had its result."""
    _prediction: Prediction | None = None

    def __init__(self, handle: Handle, cache: PredictionCache, statistics: VersionStatistics | None) -> None:
        version = handle.version
        self.model = version.name
        self.version = version.version
        self.signatures = handle.model.signatures
        self._handle = handle
        self._cache = cache
        self._statistics = statistics
        self._begun = perf_counter_ns()

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        self._begin_call(request)
        handle = self._handle
        if handle.version.configuration.cache is not None:
            return self._result(await self._cached_or_computed(request))
        prediction = handle.scheduler.run_now(request)
        if prediction is None:
            prediction = await handle.scheduler.submit(request, handle.again)
        return self._result(prediction)

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
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
        outputs, execution, _, lookup = prediction
        if execution is None:
            return InferenceResult(self.model, self.version, outputs, 0, 0, lookup or 0)
        begun = execution.begun
        return InferenceResult(self.model, self.version, outputs, begun - self._called, answered - begun, lookup or 0)

    async def _cached_or_computed(self, call: Call) -> Prediction:
        cache, question = self._cache, self._question(call)
        await offload(rough_size(question.inputs), lambda: question.key)
        kept = cache.kept(question)
        if kept is not None:
            return kept

        async def compute(own: Handle) -> Prediction:
            return own.scheduler.run_now(call) or await own.scheduler.submit(call, own.again)

        return await cache.answer(question, self._handle.again, compute)

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
        )
