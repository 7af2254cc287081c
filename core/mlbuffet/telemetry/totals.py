"""The statistics of one version from several processes, as one."""

from mlbuffet.telemetry.version_statistics import (
    BatchStatistics,
    Duration,
    InferenceStatistics,
    ModelStatistics,
)


def added_statistics(one: ModelStatistics, other: ModelStatistics) -> ModelStatistics:
    """The counts of both."""
    return {
        "name": one["name"],
        "version": one["version"],
        "last_inference": max(one["last_inference"], other["last_inference"]),
        "inference_count": one["inference_count"] + other["inference_count"],
        "execution_count": one["execution_count"] + other["execution_count"],
        "inference_stats": _added_stages(one["inference_stats"], other["inference_stats"]),
        "batch_stats": _added_batches(one["batch_stats"], other["batch_stats"]),
    }


def _added_stages(one: InferenceStatistics, other: InferenceStatistics) -> InferenceStatistics:
    return {
        "success": _added(one["success"], other["success"]),
        "fail": _added(one["fail"], other["fail"]),
        "compute_input": _added(one["compute_input"], other["compute_input"]),
        "compute_infer": _added(one["compute_infer"], other["compute_infer"]),
        "compute_output": _added(one["compute_output"], other["compute_output"]),
        "queue": _added(one["queue"], other["queue"]),
        "cache_hit": _added(one["cache_hit"], other["cache_hit"]),
        "cache_miss": _added(one["cache_miss"], other["cache_miss"]),
    }


def _added_batches(one: list[BatchStatistics], other: list[BatchStatistics]) -> list[BatchStatistics]:
    by_size = {batch["batch_size"]: batch for batch in one}
    for batch in other:
        size = batch["batch_size"]
        by_size[size] = _added_batch(by_size[size], batch) if size in by_size else batch
    return [by_size[size] for size in sorted(by_size)]


def _added_batch(one: BatchStatistics, other: BatchStatistics) -> BatchStatistics:
    return {
        "batch_size": one["batch_size"],
        "compute_input": _added(one["compute_input"], other["compute_input"]),
        "compute_infer": _added(one["compute_infer"], other["compute_infer"]),
        "compute_output": _added(one["compute_output"], other["compute_output"]),
    }


def _added(one: Duration, other: Duration) -> Duration:
    return {"count": one["count"] + other["count"], "ns": one["ns"] + other["ns"]}
