"""How often and how long the versions of models were asked, as Triton's clients read it."""

import time
from dataclasses import dataclass, field

from mlbuffet.scheduling import Execution, Prediction
from mlbuffet.server.open_inference.answers import ModelStatistics

STAGES = ("success", "compute_input", "queue", "compute_infer", "compute_output")
OUTCOMES = ("fail", "cache_hit", "cache_miss")


@dataclass
class VersionStatistics:
    """The counts of one version; written on the event loop alone, and so without a lock."""

    succeeded: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0
    last_inference: int = 0
    nanoseconds: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*OUTCOMES, *STAGES), 0))

    def success(self, begin: int, decoded: int, execution: Execution | None, computed: int, end: int) -> None:
        """Count an answer; the moments, in nanoseconds, are those at which a stage ended."""
        self.succeeded += 1
        self.last_inference = time.time_ns() // 1_000_000
        queued = inferred = 0
        if execution is not None:
            queued, inferred = execution.begun - decoded, computed - execution.begun
        spent = (end - begin, decoded - begin, queued, inferred, end - computed)
        for stage, more in zip(STAGES, spent, strict=True):
            self.nanoseconds[stage] += more

    def lookup(self, prediction: Prediction) -> None:
        """Count what became of the question to the cache, if there was one."""
        if prediction.lookup is None:
            return
        if prediction.execution is None:
            self.hits += 1
            self.nanoseconds["cache_hit"] += prediction.lookup
        else:
            self.misses += 1
            self.nanoseconds["cache_miss"] += prediction.lookup

    def failure(self, nanoseconds: int) -> None:
        """Count a request that ended in an error."""
        self.failed += 1
        self.nanoseconds["fail"] += nanoseconds


def model_stats(name: str, version: int, statistics: VersionStatistics) -> ModelStatistics:
    """One entry of ``model_stats``."""
    succeeded, nanoseconds = statistics.succeeded, statistics.nanoseconds
    executed = succeeded - statistics.hits
    return {
        "name": name,
        "version": str(version),
        "last_inference": statistics.last_inference,
        "inference_count": succeeded,
        "execution_count": executed,
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
        "batch_stats": [],
    }
