"""The statistics of a version, as Triton's clients read them."""

from typing import Annotated, TypedDict

from msgspec import Meta

from mlbuffet.telemetry.version_statistics import RunCounts, VersionCounts


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


def model_stats(name: str, version: int, counts: VersionCounts) -> ModelStatistics:
    """One entry of ``model_stats``."""
    executed = counts.succeeded - counts.hits
    return {
        "name": name,
        "version": str(version),
        "last_inference": counts.last_inference,
        "inference_count": counts.rows,
        "execution_count": sum(run.runs for run in counts.runs.values()),
        "inference_stats": {
            "success": {"count": counts.succeeded, "ns": counts.success_ns},
            "fail": {"count": counts.failed, "ns": counts.fail_ns},
            "compute_input": {"count": counts.succeeded, "ns": counts.input_ns},
            "compute_infer": {"count": executed, "ns": counts.infer_ns},
            "compute_output": {"count": counts.succeeded, "ns": counts.output_ns},
            "queue": {"count": executed, "ns": counts.queue_ns},
            "cache_hit": {"count": counts.hits, "ns": counts.hit_ns},
            "cache_miss": {"count": counts.misses, "ns": counts.miss_ns},
        },
        "batch_stats": [_batch_stats(size, counts) for size, counts in sorted(counts.runs.items())],
    }


def _batch_stats(size: int, counts: RunCounts) -> BatchStatistics:
    return {
        "batch_size": size,
        "compute_input": {"count": counts.runs, "ns": counts.join},
        "compute_infer": {"count": counts.runs, "ns": counts.infer},
        "compute_output": {"count": counts.runs, "ns": counts.divide},
    }
