"""Calls that wait together, run as one batch."""

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter_ns

from typing_extensions import override

from mlbuffet.errors import MLBuffetError, PredictFailed
from mlbuffet.model import Model
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.call import Call, Execution, Prediction
from mlbuffet.scheduling.pending_call import PendingCall
from mlbuffet.scheduling.rows import divided, has_rows, joined, row_count, takes
from mlbuffet.scheduling.runner import Predict, Runner
from mlbuffet.tensors import Signature


class BatchRunner(Runner):
    """Runs batches of those signatures that can be batched, and all other calls one at a time."""

    def __init__(
        self, model: Model, predict: Predict, batching: Batching, fit: Mapping[str, Sequence[Signature]]
    ) -> None:
        super().__init__(model, predict)
        self.delay = batching.max_delay_ms / 1000
        self._batching = batching
        self._fit = fit

    @override
    def batching(self, signature: str | None) -> Batching | None:
        return self._batching if signature in self._fit else None

    @override
    def kind(self, call: Call) -> Hashable | None:
        """A signature with the dtypes and the shapes of its inputs but for their rows, and with its parameters."""
        signature = self.model.signatures.resolve(call.signature)
        if self.model.is_suspect(signature, call.inputs):
            return None
        for declared in self._fit.get(signature, ()):
            if takes(declared, call.inputs) and row_count(call.inputs):
                declared.check_outputs(call.outputs)
                inner = tuple((call.inputs[name].dtype, call.inputs[name].shape[1:]) for name in declared.inputs)
                return signature, inner, tuple(declared.check_parameters(call.parameters).items())
        return None

    @override
    def take(self, waiting: deque[PendingCall]) -> list[PendingCall]:
        """The call that waits longest, with those behind it that fit into its batch."""
        rows: Counter[Hashable] = Counter()
        for pending in waiting:
            rows[pending.kind] += pending.rows
            if pending.is_ready or rows[pending.kind] >= self._batching.max_size:
                batch = [pending] if pending.kind is None else self._batch_of(pending.kind, waiting)
                for one in batch:
                    waiting.remove(one)
                return batch
        return []

    @override
    def predict(self, call: Call, rows: int = 1) -> Prediction:
        if self._batching.preferred_sizes and self.kind(call) is not None:
            return self._predict_together([call])[0]
        return self._alone(call, rows)

    @override
    def run(self, batch: Sequence[PendingCall]) -> None:
        """All as one batch; where that fails each by itself, so that only those fail that must."""
        wanted = [pending for pending in batch if not pending.result.cancelled()]
        if len(wanted) > 1 or (self._batching.preferred_sizes and wanted and wanted[0].kind is not None):
            with suppress(MLBuffetError, MemoryError):
                REQUEST_IDS.set(b" ".join(pending.request_id for pending in wanted))
                predictions = self._predict_together([pending.call for pending in wanted])
                for pending, prediction in zip(wanted, predictions, strict=True):
                    pending.note(prediction)
                return
        for pending in wanted:
            pending.settle(self._alone)

    def _batch_of(self, kind: Hashable, waiting: deque[PendingCall]) -> list[PendingCall]:
        """The first of one kind, and those behind it with which the batch is not too large."""
        batch: list[PendingCall] = []
        rows = 0
        for pending in waiting:
            if pending.kind == kind:
                rows += pending.rows
                if batch and rows > self._batching.max_size:
                    break
                batch.append(pending)
        return batch

    def _predict_together(self, calls: Sequence[Call]) -> list[Prediction]:
        """One prediction for each of ``calls``, which are of one kind."""
        name = self.model.signatures.resolve(calls[0].signature)
        counts = [row_count(call.inputs) for call in calls]
        rows = sum(counts)
        size = self._batching.padded(rows)
        begun = perf_counter_ns()
        inputs = joined([call.inputs for call in calls], size)
        called = perf_counter_ns()
        outputs = self._predict(
            inputs,
            signature=name,
            outputs=_all_wanted(calls),
            parameters=calls[0].parameters,
            deadline=_latest_deadline(calls),
        )
        answered = perf_counter_ns()
        if not has_rows(outputs, size):
            raise PredictFailed(self.model.runtime.name, name, f"of a batch of {size} rows, it gave not as many")
        parts = divided(outputs, counts)
        execution = Execution(rows, begun, called - begun, answered - called, perf_counter_ns() - answered)
        wanted = [self.model.signatures[name].check_outputs(call.outputs) for call in calls]
        return [
            Prediction({output: part[output] for output in names}, execution, count)
            for part, names, count in zip(parts, wanted, counts, strict=True)
        ]

    def _alone(self, call: Call, rows: int = 1) -> Prediction:
        return super().predict(call, max(rows, row_count(call.inputs)))


def _all_wanted(calls: Sequence[Call]) -> list[str] | None:
    """The outputs that any of ``calls`` wants; ``None``: all."""
    wanted: dict[str, None] = {}
    for call in calls:
        if call.outputs is None:
            return None
        wanted.update(dict.fromkeys(call.outputs))
    return list(wanted)


def _latest_deadline(calls: Sequence[Call]) -> float | None:
    """When nobody waits for the batch any more; ``None`` where that is not known."""
    deadlines = [call.deadline.at for call in calls if call.deadline is not None]
    return max(deadlines) if len(deadlines) == len(calls) else None
