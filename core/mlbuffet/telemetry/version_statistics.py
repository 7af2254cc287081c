"""How often and how long the versions of models were asked, as Triton's clients read it."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, TypedDict

from msgspec import Meta

from mlbuffet.scheduling import Execution, Prediction


class Duration(TypedDict):
    """How often something was done, and how long it took in all."""

    count: int
    ns: int


class InferenceStatistics(TypedDict):
    """Requests by outcome and stage."""

    success: Duration
    fail: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    queue: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(TypedDict):
    """The runs with so many rows."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(TypedDict):
    """The counts of one version."""

    name: str
    version: str
    last_inference: Annotated[int, Meta(description="Milliseconds since 1970; 0 for never.")]
    inference_count: Annotated[int, Meta(description="Rows, where the model is batched; else requests.")]
    execution_count: Annotated[int, Meta(description="Runs of the model, each for one request or several.")]
    inference_stats: InferenceStatistics
    batch_stats: Annotated[list[BatchStatistics], Meta(description="By the rows of a run, where models are batched.")]


@dataclass
class BatchCounts:
    """The runs with one number of rows, and the nanoseconds that they took in all."""

    runs: int = 0
    join: int = 0
    infer: int = 0
    divide: int = 0

    def add(self, execution: Execution) -> None:
        """Count a run."""
        self.runs += 1
        self.join += execution.join
        self.infer += execution.infer
        self.divide += execution.divide


@dataclass
class VersionStatistics:
    """The counts of one version; written on the event loop alone, and so without a lock."""

    succeeded: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0
    rows: int = 0
    last_inference: int = 0
    nanoseconds: Counter[str] = field(default_factory=Counter)
    batches: dict[int, BatchCounts] = field(default_factory=dict)

    def success(self, prediction: Prediction, begin: int, decoded: int, computed: int, end: int) -> None:
        """Count an answer; the moments, in nanoseconds, are those at which a stage ended."""
        self.succeeded += 1
        self.rows += prediction.rows
        self.last_inference = time.time_ns() // 1_000_000
        queued = inferred = 0
        if (execution := prediction.execution) is not None:
            queued, inferred = execution.begun - decoded, computed - execution.begun
            if execution.count_once():
                self.batches.setdefault(execution.rows, BatchCounts()).add(execution)
        spent = self.nanoseconds  # a loop takes three times as long
        spent["success"] += end - begin
        spent["compute_input"] += decoded - begin
        spent["queue"] += queued
        spent["compute_infer"] += inferred
        spent["compute_output"] += end - computed
        if prediction.lookup is not None:
            self._look_up(prediction.lookup, hit=execution is None)

    def failure(self, nanoseconds: int) -> None:
        """Count a request that ended in an error."""
        self.failed += 1
        self.nanoseconds["fail"] += nanoseconds

    def _look_up(self, nanoseconds: int, *, hit: bool) -> None:
        self.hits += hit
        self.misses += not hit
        self.nanoseconds["cache_hit" if hit else "cache_miss"] += nanoseconds


def model_stats(name: str, version: int, statistics: VersionStatistics) -> ModelStatistics:
    """One entry of ``model_stats``."""
    succeeded, nanoseconds = statistics.succeeded, statistics.nanoseconds
    executed = succeeded - statistics.hits
    batches = sorted(statistics.batches.items())  # a copy: there may be more while a thread reads
    return {
        "name": name,
        "version": str(version),
        "last_inference": statistics.last_inference,
        "inference_count": statistics.rows,
        "execution_count": sum(batch.runs for _, batch in batches),
        "inference_stats": {
            "success": {"count": succeeded, "ns": nanoseconds["success"]},
            "fail": {"count": statistics.failed, "ns": nanoseconds["fail"]},
            "compute_input": {"count": succeeded, "ns": nanoseconds["compute_input"]},
            "compute_infer": {"count": executed, "ns": nanoseconds["compute_infer"]},
            "compute_output": {"count": succeeded, "ns": nanoseconds["compute_output"]},
            "queue": {"count": executed, "ns": nanoseconds["queue"]},
            "cache_hit": {"count": statistics.hits, "ns": nanoseconds["cache_hit"]},
            "cache_miss": {"count": statistics.misses, "ns": nanoseconds["cache_miss"]},
        },
        "batch_stats": [_batch_stats(size, counts) for size, counts in batches],
    }


def _batch_stats(size: int, counts: BatchCounts) -> BatchStatistics:
    return {
        "batch_size": size,
        "compute_input": {"count": counts.runs, "ns": counts.join},
        "compute_infer": {"count": counts.runs, "ns": counts.infer},
        "compute_output": {"count": counts.runs, "ns": counts.divide},
    }
