"""What a call of a pipeline does, for the versions of its models that were looked at."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import InvalidInput, PredictFailed
from mlbuffet.hookspecs import HeldModel, Request
from mlbuffet.tensors import Signatures, TensorSpec
from mlbuffet_pipeline._file import PipelineFile, Source
from mlbuffet_pipeline._wiring import inferred, signature_of

QUICK = 0.0003
"""The seconds up to which a step is not worth a thread of its own: the way there and back takes a tenth of it."""

Values = dict[Source, NDArray[Any]]


class PlannedStep:
    """A call of one model."""

    def __init__(self, pipeline: PipelineFile, name: str, signatures: Mapping[str, Signatures]) -> None:
        step = pipeline.steps[name]
        self.name = name
        self.model = step.model or name
        self.needs = pipeline.givers()[name]
        self.seconds = inf
        """How long it takes; not known before its first call."""
        self._signature = step.signature
        self._inputs = list(pipeline.sources(name).items())
        used = [*pipeline.outputs.values(), *(text for one in pipeline.steps.values() for text in one.inputs.values())]
        sources = dict.fromkeys(source for text in used if (source := pipeline.source(text)).step == name)
        declared = signature_of(pipeline, name, signatures)
        self._outputs = {output: Source(name, output) for output in declared.outputs if Source(name, output) in sources}
        self._wanted = tuple(self._outputs) if len(self._outputs) < len(declared.outputs) else None
        self._constants = step.parameters
        passed = {given: pipeline.source(text) for given, text in pipeline.parameters.items()}
        self._passed = [(source.name, given) for given, source in passed.items() if source.step == name]
        self._variants = declared.variants or (declared,)

    def run(self, models: Mapping[str, HeldModel], values: Values, request: Request) -> None:
        """Call the model with what is in ``values``, and put there what it gives. Errors name the step."""
        inputs = {name: values[source] for name, source in self._inputs if source in values}
        parameters = self._constants
        if self._passed:
            given = request.parameters
            parameters = parameters | {name: given[outer] for name, outer in self._passed if outer in given}
        try:
            results = models[self.model].predict(
                inputs,
                signature=self._signature,
                outputs=self._wanted,
                parameters=parameters,
                deadline=request.deadline,
            )
        except InvalidInput as error:
            if not self._is_of_client(inputs, request):
                givers = " and ".join(map(repr, sorted(self.needs)))
                reason = f"in the step {self.name!r}, which refuses what {givers} gave: {error.problem}"
                raise PredictFailed("", "", error.detail or "it is InvalidInput there", reason=reason) from error
            raise InvalidInput(f"the step {self.name!r}: {error.problem}", detail=error.detail) from error
        except PredictFailed as error:
            reason = f"in the step {self.name!r}" + (f", {error.reason}" if error.reason else "")
            raise PredictFailed(error.runtime, error.signature, error.detail, reason=reason) from error
        for name, array in results.items():
            values[self._outputs[name]] = array

    def _is_of_client(self, inputs: Mapping[str, NDArray[Any]], request: Request) -> bool:
        """Whether what the model refuses may be what the client sent, and is not what other steps made."""
        made = {name for name, source in self._inputs if source.step and name in inputs}
        if len(made) == len(inputs) and not any(outer in request.parameters for _, outer in self._passed) and made:
            return False
        return all(any(_fits(one.inputs[name], inputs[name]) for one in self._variants) for name in made)


def _fits(spec: TensorSpec, array: NDArray[Any]) -> bool:
    return array.dtype == spec.dtype and spec.accepts_shape(array.shape)


class Plan:
    """The steps in an order in which they can run. Creating it raises `LoadFailed` where they do not fit."""

    def __init__(self, pipeline: PipelineFile, signatures: Mapping[str, Signatures]) -> None:
        self.signatures = signatures
        """Of the models, as they were looked at."""
        order = pipeline.order()
        self.signature = inferred(pipeline, order, signatures)
        self.steps = [PlannedStep(pipeline, name, signatures) for name in order]
        self.outputs = {name: pipeline.source(text) for name, text in pipeline.outputs.items()}
        self._givers = pipeline.givers()

    def is_for(self, models: Mapping[str, HeldModel]) -> bool:
        """Whether these are the versions that were looked at."""
        for name, seen in self.signatures.items():  # noqa: SIM110 all() of a generator takes longer
            if models[name].signatures is not seen:
                return False
        return True

    def steps_for(self, outputs: Collection[str]) -> list[PlannedStep]:
        """The steps that these outputs need."""
        if len(outputs) == len(self.outputs):
            return self.steps
        needed = {self.outputs[name].step for name in outputs}
        for step in reversed(self.steps):
            if step.name in needed:
                needed |= self._givers[step.name]
        return [step for step in self.steps if step.name in needed]


def can_run_at_once(steps: Sequence[PlannedStep]) -> bool:
    """Whether there are two that do not wait for each other, and two that are worth a thread of their own."""
    if sum(step.seconds > QUICK for step in steps) < 2:
        return False
    return not all(one.name in other.needs for one, other in pairwise(steps))
