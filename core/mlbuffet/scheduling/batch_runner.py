"""Calls that wait together, run together."""

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter_ns

from mlbuffet.errors import MLBuffetError, PredictFailed
from mlbuffet.model import Model
from mlbuffet.running import REQUEST_IDS
from mlbuffet.scheduling.batching import Batching
from mlbuffet.scheduling.call import Call, Execution, Prediction
from mlbuffet.scheduling.pending_call import PendingCall
from mlbuffet.scheduling.rows import divided, has_rows, joined, row_count, takes
from mlbuffet.scheduling.single_runner import Predict, SingleRunner
from mlbuffet.tensors import Signature


class BatchRunner:
    """Runs batches of those signatures that can be batched, and all other calls one at a time."""

    def __init__(
        self, model: Model, predict: Predict, batching: Batching, fit: Mapping[str, Sequence[Signature]]
    ) -> None:
        self.model = model
        self._predict = predict
        self.delay = batching.max_delay_ms / 1000
        self._batching = batching
        self._fit = fit
        self._singly = SingleRunner(model, predict)

    def batching(self, signature: str | None) -> Batching | None:
        """How calls of ``signature`` are batched, if they are."""
        return self._batching if signature in self._fit else None

    def kind(self, call: Call) -> Hashable | None:
        """Calls of one kind may share a batch; those of the kind ``None`` run alone.

        A kind is a signature with the dtypes and the shapes of its inputs but for their rows.
        """
        signature = self.model.signatures.resolve(call.signature)
        for declared in self._fit.get(signature, ()):
            if takes(declared, call.inputs) and row_count(call.inputs):
                declared.check_outputs(call.outputs)
                inner = tuple((call.inputs[name].dtype, call.inputs[name].shape[1:]) for name in declared.inputs)
                return signature, inner
        return None

    def take(self, waiting: deque[PendingCall]) -> list[PendingCall]:
        """The call that waits longest, with those behind it that fit into its batch."""
        rows: Counter[Hashable] = Counter()
        for pending in waiting:
            rows[pending.kind] += pending.rows
            if pending.is_ripe or rows[pending.kind] >= self._batching.max_size:
                mates = [pending] if pending.kind is None else self._mates(pending.kind, waiting)
                for mate in mates:
                    waiting.remove(mate)
                return mates
        return []

    def predict(self, call: Call) -> Prediction:
        """What the model answers to one call."""
        if self._batching.preferred_sizes and self.kind(call) is not None:
            return self._predict_together([call])[0]
        return self._alone(call)

    def run(self, batch: Sequence[PendingCall]) -> None:
        """All as one batch; where that fails each by itself, so that only those fail that must."""
        asked = [pending for pending in batch if not pending.is_abandoned]
        if len(asked) > 1 or (self._batching.preferred_sizes and asked and asked[0].kind is not None):
            with suppress(MLBuffetError, MemoryError):
                REQUEST_IDS.set(b" ".join(pending.request_id for pending in asked))
                predictions = self._predict_together([pending.call for pending in asked])
                for pending, prediction in zip(asked, predictions, strict=True):
                    pending.note(prediction)
                return
        for pending in asked:
            pending.settle(self._alone)

    def _mates(self, kind: Hashable, waiting: deque[PendingCall]) -> list[PendingCall]:
        """The first of one kind, and those behind it with which the batch is not too large."""
        mates: list[PendingCall] = []
        rows = 0
        for pending in waiting:
            if pending.kind == kind:
                rows += pending.rows
                if mates and rows > self._batching.max_size:
                    break
                mates.append(pending)
        return mates

    def _predict_together(self, calls: Sequence[Call]) -> list[Prediction]:
        """One prediction for each of ``calls``, which are of one kind."""
        name = self.model.signatures.resolve(calls[0].signature)
        counts = [row_count(call.inputs) for call in calls]
        rows = sum(counts)
        size = self._batching.padded(rows)
        begun = perf_counter_ns()
        inputs = joined([call.inputs for call in calls], size)
        called = perf_counter_ns()
        outputs = self._predict(inputs, signature=name)
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

    def _alone(self, call: Call) -> Prediction:
        return self._singly.predict(call, rows=max(1, row_count(call.inputs)))
