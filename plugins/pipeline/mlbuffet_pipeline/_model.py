"""A loaded pipeline: the models that it calls, and what it does with them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlbuffet.errors import LoadFailed, ModelNotReady
from mlbuffet.hookspecs import HeldModel, LoadContext, Request
from mlbuffet.tensors import DEFAULT_SIGNATURE, Signature, Signatures, Tensors
from mlbuffet_pipeline._file import Source, read_pipeline
from mlbuffet_pipeline._plan import Plan
from mlbuffet_pipeline._running import Run

_THREADS = 1_000  # of which each is started where all others are busy
_SOON = 1.0


class Pipeline:
    """The handle of the pipeline in ``folder``. Creating it raises `LoadFailed`."""

    def __init__(self, folder: Path, context: LoadContext) -> None:
        self._file = read_pipeline(folder)
        names = dict.fromkeys(step.model or name for name, step in self._file.steps.items())
        self._models = {name: context.models[name] for name in names}
        self._plan = Plan(self._file, {name: model.signatures for name, model in self._models.items()})
        self.signatures = Signatures({DEFAULT_SIGNATURE: self._plan.signature})
        self._threads = ThreadPoolExecutor(_THREADS, "mlbuffet-pipeline")

    def predict(self, inputs: Tensors, request: Request) -> Tensors:
        """The outputs that are wanted, all by the versions that are the defaults now. Raises what a step raises."""
        models: dict[str, HeldModel] = {}
        try:
            for name, model in self._models.items():
                models[name] = model.held()
            plan = self._plan  # other calls may replace it
            if not plan.is_for(models):
                plan = self._renewed(models, request)
            values = {Source("", name): array for name, array in inputs.items()}
            Run(models, values, request).steps(plan.steps_for(request.outputs), self._threads)
            return {name: values[plan.outputs[name]] for name in request.outputs}
        finally:
            for held in models.values():
                held.__exit__()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown()

    def _renewed(self, models: Mapping[str, HeldModel], request: Request) -> Plan:
        """The plan for other versions, where what clients are told of the pipeline is still right."""
        try:
            plan = Plan(self._file, {name: model.signatures for name, model in models.items()})
        except LoadFailed as error:
            raise ModelNotReady(request.model, request.version or 0, error.reason, _SOON) from error
        if _calls(plan.signature) != _calls(self._plan.signature):
            reason = "with the new version of a step it takes or gives something else; it is loaded again"
            raise ModelNotReady(request.model, request.version or 0, reason, _SOON)
        self._plan = plan
        return plan


def _calls(signature: Signature) -> object:
    """What a call of it has to know."""
    return [
        [*map(str, one.inputs.values()), *map(str, one.outputs.values()), one.parameters]
        for one in signature.variants or (signature,)
    ]
