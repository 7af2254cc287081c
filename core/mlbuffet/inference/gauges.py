"""What is measured of a repository, for `mlbuffet.telemetry`."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

from mlbuffet.inference.service import InferenceService
from mlbuffet.repository import ModelRepository, State
from mlbuffet.telemetry.counter_table import Key
from mlbuffet.telemetry.metric_names import BOUNDS
from mlbuffet.telemetry.worker import Sample


def measure(repository: ModelRepository) -> Sample:
    """Its versions, their states and queues, and its cache, at this moment."""
    versions = {(one.name, one.version): one for one in repository}
    schedulers = {key: scheduler for key, one in versions.items() if (scheduler := one.scheduler) is not None}
    processes = {key: found for key, one in schedulers.items() if (found := one.model.runtime.processes) is not None}
    cache, states = repository.cache, Counter(one.state for one in versions.values())
    gauges: dict[Key, float] = {
        **{("versions", state.value): states[state] for state in State},
        **{("load_seconds", *key): one.seconds for key, one in versions.items() if one.seconds},
        **{("calls_waiting", *key): one.waiting for key, one in schedulers.items()},
        **{("calls_running", *key): one.running for key, one in schedulers.items()},
        **{("process_instances", *key): one.alive for key, one in processes.items()},
        ("cache_bytes",): cache.memory.size,
        ("cache_entries",): len(cache.memory),
    }
    if cache.redis is not None:
        gauges["cache_redis_up",] = cache.redis.answers
    batches = dict(repository.batches)
    counters: dict[Key, Sequence[float]] = {
        **{("batch_rows", *key): _histogram(dict(rows)) for key, rows in batches.items() if rows},
        **{("process_restarts", *key): (one.restarts,) for key, one in processes.items()},
        **{("cache_hits", model): (number,) for model, number in dict(cache.hits).items()},
        **{("cache_misses", model): (number,) for model, number in dict(cache.misses).items()},
    }
    return Sample(versions.keys(), gauges, counters)


def measure_service(service: InferenceService) -> Sample:
    """The versions of a service that has its models elsewhere, and their states."""
    versions = service.versions()
    states = Counter(one.state for one in versions)
    return Sample({one[:2] for one in versions}, {("versions", state.value): states[state] for state in State}, {})


def _histogram(batches: Mapping[int, int]) -> Sequence[float]:
    """How many batches there were in each bucket of rows, and the sum of their rows."""
    bounds = BOUNDS["batch_rows"]
    numbers = [0.0] * (len(bounds) + 2)
    for rows, count in batches.items():
        numbers[bisect_left(bounds, rows)] += count
        numbers[-1] += rows * count
    return numbers
