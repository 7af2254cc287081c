"""How often and how long the versions of models were asked, as Triton's clients read it."""

import time
from dataclasses import dataclass, field

from mlbuffet.scheduling import Execution
from mlbuffet.server.open_inference.answers import Duration, ModelStatistics

STAGES = ("success", "compute_input", "queue", "compute_infer", "compute_output")


@dataclass
class VersionStatistics:
    """The counts of one version; written on the event loop alone, and so without a lock."""

    succeeded: int = 0
    failed: int = 0
    last_inference: int = 0
    nanoseconds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("fail", *STAGES), 0))

    def success(self, begin: int, decoded: int, execution: Execution | None, computed: int, end: int) -> None:
        """Count an answer; the moments, in nanoseconds, are those at which a stage ended."""
        self.succeeded += 1
        self.last_inference = time.time_ns() // 1_000_000
        begun = decoded if execution is None else execution.begun
        spent = (end - begin, decoded - begin, begun - decoded, computed - begun, end - computed)
        for stage, more in zip(STAGES, spent, strict=True):
            self.nanoseconds[stage] += more

    def failure(self, nanoseconds: int) -> None:
        """Count a request that ended in an error."""
        self.failed += 1
        self.nanoseconds["fail"] += nanoseconds


def model_stats(name: str, version: int, statistics: VersionStatistics) -> ModelStatistics:
    """One entry of ``model_stats``; what this server does not do (caches) is counted as nothing."""
    succeeded, nanoseconds = statistics.succeeded, statistics.nanoseconds
    never = Duration(count=0, ns=0)
    return {
        "name": name,
        "version": str(version),
        "last_inference": statistics.last_inference,
        "inference_count": succeeded,
        "execution_count": succeeded,
        "inference_stats": {
            "success": {"count": succeeded, "ns": nanoseconds["success"]},
            "fail": {"count": statistics.failed, "ns": nanoseconds["fail"]},
            "compute_input": {"count": succeeded, "ns": nanoseconds["compute_input"]},
            "compute_infer": {"count": succeeded, "ns": nanoseconds["compute_infer"]},
            "compute_output": {"count": succeeded, "ns": nanoseconds["compute_output"]},
            "queue": {"count": succeeded, "ns": nanoseconds["queue"]},
            "cache_hit": never,
            "cache_miss": never,
        },
        "batch_stats": [],
    }
